// The decoder of live frames: golden bytes, every truncation, nonsense.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeFrame, FrameError, Kind, Quality } from '../src/frame';

const bytes = (hex: string) => Uint8Array.from(hex.replace(/\s/g, '').match(/../g) ?? [], (b) => parseInt(b, 16));
// kind 1, seq 7, 2026-11-24T09:00:00.000Z in microseconds
const TIME_MS = Date.UTC(2026, 10, 24, 9);
const head = (kind: string, seq = '07000000') => {
    const time = Buffer.alloc(8);
    time.writeBigInt64LE(BigInt(TIME_MS) * 1000n);
    return `${kind} ${seq} ${time.toString('hex')}`;
};
const values = bytes(`${head('01')}
    11   83 a403  0c00000000000000
    8001 01 00    0000000000003440
    02   02 00    0000a041
    03   04 00    01
    04   15 05    03 6f66c3
    05   20 00`);

test('a frame of values decodes to what was encoded', () => {
    const frame = decodeFrame(values);
    assert.equal(frame.kind, Kind.values);
    assert.equal(frame.seq, 7);
    assert.equal(frame.timeMs, TIME_MS);
    assert(frame.kind === Kind.values);
    const rows = frame.values.map((v) => [v.id, v.type, v.value, v.quality, v.changed, v.ageMs]);
    assert.deepEqual(rows, [
        [17, 'int', 12, Quality.good, true, 420],
        [128, 'float', 20, Quality.good, false, 0],
        [2, 'float', 20, Quality.good, false, 0],
        [3, 'bool', true, Quality.good, false, 0],
        [4, 'text', 'of\ufffd', Quality.stale, false, 5],
        [5, 'none', null, Quality.unknown, false, 0],
    ]);
});

test('negative integers and the largest exact one survive', () => {
    const frame = decodeFrame(bytes(`${head('01')} 01 03 00 ffffffffffffffff 02 03 00 ffffffffffff1f00`));
    assert(frame.kind === Kind.values);
    assert.deepEqual(frame.values.map((v) => v.value), [-1, Number.MAX_SAFE_INTEGER]);
});

test('names, events and snapshots decode', () => {
    const names = decodeFrame(bytes(`${head('02')} 11 03 612f62 05 73746f636b 03`));
    assert(names.kind === Kind.names);
    assert.deepEqual(names.names, [{ id: 17, topic: 'a/b', field: 'stock', type: 'int' }]);
    const json = Buffer.from('{"rule":"restock","text":"SEND orders"}').toString('hex');
    const event = decodeFrame(bytes(head('03') + json));
    assert(event.kind === Kind.event);
    assert.deepEqual(event.event, { rule: 'restock', text: 'SEND orders' });
    assert.equal(decodeFrame(bytes(head('04'))).kind, Kind.snapshot);
});

test('a frame within a larger buffer is read from its own place', () => {
    const larger = new Uint8Array(values.length + 9);
    larger.set(values, 5);
    assert.deepEqual(decodeFrame(larger.subarray(5, 5 + values.length)), decodeFrame(values));
});

test('each truncation inside an entry is an error, between entries it is not', () => {
    const whole = decodeFrame(values);
    assert(whole.kind === Kind.values);
    let fine = 0;
    for (let n = 0; n < values.length; n++) {
        try {
            const part = decodeFrame(values.subarray(0, n));
            assert(part.kind === Kind.values);
            assert.deepEqual(part.values, whole.values.slice(0, part.values.length));
            fine++;
        } catch (e) {
            assert(e instanceof FrameError, `${n} bytes: ${String(e)}`);
        }
    }
    assert.equal(fine, whole.values.length); // behind the head and behind each entry but the last
});

test('nonsense is an error that says what', () => {
    const broken: [name: string, hex: string, what: RegExp][] = [
        ['kind', head('09'), /unknown frame kind 9/],
        ['form', `${head('01')} 01 06 00 00`, /unknown value form 6/],
        ['type of a name', `${head('02')} 01 00 00 0f`, /unknown value form 15/],
        ['varint without end', `${head('01')} ${'ff'.repeat(12)}`, /varint/],
        ['text longer than the frame', `${head('01')} 01 05 00 ff7f`, /bytes wanted/],
        ['event', `${head('03')} 7b`, /not JSON/],
    ];
    for (const [name, hex, what] of broken) {
        assert.throws(() => decodeFrame(bytes(hex)), (e) => e instanceof FrameError && what.test(e.message), name);
    }
});

test('random bytes never do anything but decode or throw a FrameError', () => {
    let state = 42;
    const random = () => (state = (state * 1664525 + 1013904223) >>> 0) >>> 24;
    for (let i = 0; i < 20_000; i++) {
        const frame = Uint8Array.from({ length: random() % 64 }, random);
        frame[0] = random() % 6;
        try {
            decodeFrame(frame);
        } catch (e) {
            assert(e instanceof FrameError, String(e));
        }
    }
});
