/* MQTT.js, the client of Node programs and browsers, against the hub at MQTT_PORT, in both versions.
 * Run it by with_broker.py; NODE_PATH leads to the installed packages. */
'use strict';
const test = require('node:test');
const assert = require('node:assert');
const net = require('node:net');
const mqtt = require('mqtt');

const port = Number(process.env.MQTT_PORT);
const over = { protocol: process.env.MQTT_PROTOCOL, port: Number(process.env.MQTT_OVER_PORT), path: '/mqtt' };
const onMosquitto = process.env.BROKER === 'mosquitto';
let names = 0;

/* A case that waits for what never comes must end by itself. */
function check(name, ...rest) {
    const run = rest.pop();
    test(name, { timeout: 60000, ...rest[0] }, run);
}

/* A client whose messages wait in a queue until somebody asks. */
class Peer {
    static async connect(version, options = {}) {
        const peer = new Peer();
        peer.messages = [];
        peer.waiting = [];
        peer.client = mqtt.connect({
            host: '127.0.0.1', ...over, protocolVersion: version, reconnectPeriod: 0,
            clientId: `js-${process.pid}-${names++}`, ...options,
        });
        peer.client.on('message', (topic, payload, packet) => {
            const message = { topic, text: payload.toString(), packet };
            const waiter = peer.waiting.shift();
            if (waiter) {
                waiter(message);
            } else {
                peer.messages.push(message);
            }
        });
        peer.client.on('error', () => {});
        peer.connack = await new Promise((resolve, reject) => {
            peer.client.once('connect', resolve);
            peer.client.once('error', reject);
        });
        return peer;
    }

    message() {
        if (this.messages.length > 0) {
            return Promise.resolve(this.messages.shift());
        }
        return new Promise((resolve) => this.waiting.push(resolve));
    }

    subscribe(filter, options) {
        return this.client.subscribeAsync(filter, options);
    }

    publish(topic, payload, options) {
        return this.client.publishAsync(topic, payload, options);
    }

    end() {
        return this.client.endAsync();
    }

    /* The network goes away: no DISCONNECT. */
    drop() {
        this.client.stream.destroy();
        return new Promise((resolve) => this.client.end(true, resolve));
    }
}

/* 0..count-1, never more than 16 unacknowledged: the client itself does not heed the server's receive
 * maximum. */
async function publishAll(peer, topic, count, qos) {
    const sent = [];
    for (let i = 0; i < count; i++) {
        await sent[i - 16];
        sent.push(peer.publish(topic, `${i}`, { qos }));
    }
    await Promise.all(sent);
}

for (const version of [4, 5]) {
    const name = version === 4 ? '3.1.1' : '5.0';
    const topicOf = (word) => `e2e-js/${process.pid}/${version}/${word}`;
    const durable = version === 4 ? { clean: false }
        : { clean: false, properties: { sessionExpiryInterval: 3600 } };

    check(`${name}: every QoS is delivered at the lower of both`, async () => {
        const a = await Peer.connect(version);
        const b = await Peer.connect(version);
        for (const granted of [0, 1, 2]) {
            const topic = topicOf(`qos/${granted}`);
            const [grant] = await a.subscribe(topic, { qos: granted });
            assert.strictEqual(grant.qos, granted);
            for (const qos of [0, 1, 2]) {
                await b.publish(topic, `${qos}`, { qos });
                const got = await a.message();
                assert.deepStrictEqual([got.text, got.packet.qos], [`${qos}`, Math.min(qos, granted)]);
            }
        }
        await a.end();
        await b.end();
    });

    check(`${name}: 300 messages in a stream keep their order`, async () => {
        const a = await Peer.connect(version);
        for (const qos of [0, 1, 2]) {
            const topic = topicOf(`order/${qos}`);
            await a.subscribe(topic, { qos });
            await publishAll(a, topic, 300, qos);
            for (let i = 0; i < 300; i++) {
                assert.strictEqual((await a.message()).text, `${i}`);
            }
        }
        await a.end();
    });

    check(`${name}: retained`, async () => {
        const a = await Peer.connect(version);
        const topic = topicOf('retained');
        await a.publish(topic, 'kept', { qos: 1, retain: true });
        await a.subscribe(topic, { qos: 1 });
        const got = await a.message();
        assert.deepStrictEqual([got.text, got.packet.retain], ['kept', true]);
        await a.publish(topic, '', { qos: 1, retain: true });
        await a.end();
    });

    check(`${name}: wildcards`, async () => {
        const a = await Peer.connect(version);
        await a.subscribe([topicOf('w/+/x'), topicOf('v/#')], { qos: 1 });
        for (const word of ['w/1/y', 'w/1/x', 'v', 'v/deep/er']) {
            await a.publish(topicOf(word), word, { qos: 1 });
        }
        const seen = [(await a.message()).text, (await a.message()).text, (await a.message()).text];
        assert.deepStrictEqual(seen, ['w/1/x', 'v', 'v/deep/er']);
        await a.end();
    });

    check(`${name}: a will when the network goes`, async () => {
        const watcher = await Peer.connect(version);
        const topic = topicOf('will');
        await watcher.subscribe(topic, { qos: 1 });
        const will = { topic, payload: Buffer.from('gone'), qos: 1, retain: false };
        await (await Peer.connect(version, { will })).drop();
        assert.strictEqual((await watcher.message()).text, 'gone');
        await watcher.end();
    });

    check(`${name}: a session keeps what came while its client was away`, async () => {
        const topic = topicOf('session');
        const options = { ...durable, clientId: `js-${process.pid}-durable-${version}` };
        const first = await Peer.connect(version, options);
        assert.strictEqual(first.connack.sessionPresent, false);
        await first.subscribe(topic, { qos: 2 });
        await first.drop();
        const b = await Peer.connect(version);
        for (let i = 0; i < 20; i++) {
            await b.publish(topic, `${i}`, { qos: 2 });
        }
        const again = await Peer.connect(version, options);
        assert.strictEqual(again.connack.sessionPresent, true);
        for (let i = 0; i < 20; i++) {
            const got = await again.message();
            assert.deepStrictEqual([got.text, got.packet.qos], [`${i}`, 2]);
        }
        await again.end();
        await b.end();
    });

    check(`${name}: a share serves each message to one member`, async () => {
        const topic = topicOf('share');
        const members = [await Peer.connect(version), await Peer.connect(version)];
        for (const m of members) {
            await m.subscribe(`$share/crew/${topic}`, { qos: 1 });
        }
        const b = await Peer.connect(version);
        let heard = 0;
        const all = new Promise((resolve) => {
            for (const m of members) {
                m.client.on('message', () => ++heard === 40 && resolve());
            }
        });
        for (let i = 0; i < 40; i++) {
            await b.publish(topic, `${i}`, { qos: 1 });
        }
        await all;
        assert.deepStrictEqual(members.flatMap((m) => m.messages.map((x) => Number(x.text))).sort((x, y) => x - y),
            [...Array(40).keys()]);
        for (const peer of [...members, b]) {
            await peer.end();
        }
    });

    check(`${name}: a second client of the same name takes over`, async () => {
        const options = { ...durable, clientId: `js-${process.pid}-twin-${version}` };
        const first = await Peer.connect(version, options);
        const gone = new Promise((resolve) => first.client.once('close', resolve));
        const second = await Peer.connect(version, options);
        await gone;
        assert.strictEqual(second.connack.sessionPresent, true);
        await second.end();
    });
}

check('5.0: properties arrive as they were', async () => {
    const a = await Peer.connect(5);
    const topic = `e2e-js/${process.pid}/properties`;
    await a.subscribe(topic, { qos: 2, properties: { subscriptionIdentifier: 77 } });
    await a.publish(topic, '21', { qos: 2, properties: {
        payloadFormatIndicator: true, messageExpiryInterval: 500, contentType: 'text/plain',
        responseTopic: 'answer/here', correlationData: Buffer.from([0, 1, 255]),
        userProperties: { unit: 'celsius', list: ['a', 'b'] } } });
    const p = (await a.message()).packet.properties;
    assert.strictEqual(p.payloadFormatIndicator, true);
    assert.ok(p.messageExpiryInterval > 400 && p.messageExpiryInterval <= 500);
    assert.strictEqual(p.contentType, 'text/plain');
    assert.strictEqual(p.responseTopic, 'answer/here');
    assert.deepStrictEqual([...p.correlationData], [0, 1, 255]);
    assert.deepStrictEqual({ ...p.userProperties }, { unit: 'celsius', list: ['a', 'b'] });
    assert.strictEqual(p.subscriptionIdentifier, 77);
    await a.end();
});

check('5.0: topic aliases in both directions', async () => {
    const sender = await Peer.connect(5, { autoAssignTopicAlias: true });
    const receiver = await Peer.connect(5, { properties: { topicAliasMaximum: 4 } });
    assert.ok(sender.connack.properties.topicAliasMaximum > 0);
    const topic = (i) => `e2e-js/${process.pid}/alias/${i % 3}`;
    await receiver.subscribe(`e2e-js/${process.pid}/alias/#`, { qos: 1 });
    for (let i = 0; i < 12; i++) {
        await sender.publish(topic(i), `${i}`, { qos: 1 });
    }
    for (let i = 0; i < 12; i++) {
        const got = await receiver.message();
        assert.deepStrictEqual([got.topic, got.text], [topic(i), `${i}`]);
    }
    await sender.end();
    await receiver.end();
});

check('5.0: request and response', async () => {
    const server = await Peer.connect(5);
    const client = await Peer.connect(5);
    const base = `e2e-js/${process.pid}/rpc`;
    await server.subscribe(`${base}/ask`, { qos: 1 });
    await client.subscribe(`${base}/answer`, { qos: 1 });
    await client.publish(`${base}/ask`, '2+2', { qos: 1,
        properties: { responseTopic: `${base}/answer`, correlationData: Buffer.from('q1') } });
    const asked = (await server.message()).packet.properties;
    await server.publish(asked.responseTopic, '4', { qos: 1, properties: { correlationData: asked.correlationData } });
    const answer = await client.message();
    assert.deepStrictEqual([answer.text, answer.packet.properties.correlationData.toString()], ['4', 'q1']);
    await server.end();
    await client.end();
});

check('5.0: no more unacknowledged than the receiver allows', async () => {
    const topic = `e2e-js/${process.pid}/window`;
    const a = await Peer.connect(5, { properties: { receiveMaximum: 3 } });
    await a.subscribe(topic, { qos: 1 });
    const b = await Peer.connect(5);
    const sent = publishAll(b, topic, 100, 1);
    for (let i = 0; i < 100; i++) {
        assert.strictEqual((await a.message()).text, `${i}`);
    }
    await sent;
    await a.end();
    await b.end();
});

check('5.0: a packet above the receiver\'s maximum is left out', async () => {
    const topic = `e2e-js/${process.pid}/size`;
    const a = await Peer.connect(5, { properties: { maximumPacketSize: 200 } });
    await a.subscribe(topic, { qos: 1 });
    const b = await Peer.connect(5);
    await b.publish(topic, 'x'.repeat(300), { qos: 1 });
    await b.publish(topic, 'fits', { qos: 1 });
    assert.strictEqual((await a.message()).text, 'fits');
    await a.end();
    await b.end();
});

check('5.0: the server names its reason when it ends a connection', { skip: onMosquitto }, async () => {
    const options = { clientId: `js-${process.pid}-told` };
    const first = await Peer.connect(5, options);
    const told = new Promise((resolve) => first.client.once('disconnect', resolve));
    const second = await Peer.connect(5, options);
    assert.strictEqual((await told).reasonCode, 0x8e);
    await second.end();
});

check('garbage closes the connection and harms nobody', async () => {
    const bystander = await Peer.connect(5);
    const topic = `e2e-js/${process.pid}/bystander`;
    await bystander.subscribe(topic, { qos: 1 });
    for (const bytes of [[0], [0x10, 0xff, 0xff, 0xff, 0xff, 0x7f], [0x30, 2, 0, 0], [...Buffer.from('GET / HTTP/1.1\r\n\r\n')]]) {
        await new Promise((resolve) => {
            const socket = net.connect(port, '127.0.0.1', () => socket.write(Buffer.from(bytes)));
            socket.on('error', () => {});
            socket.on('close', resolve);
        });
    }
    await bystander.publish(topic, 'well', { qos: 1 });
    assert.strictEqual((await bystander.message()).text, 'well');
    await bystander.end();
});
