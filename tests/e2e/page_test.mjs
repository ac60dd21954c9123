// The page in a real browser, against this build's own hub with devices that speak MQTT.
//
//   TANDEM=build/dev/tandem NODE_PATH=build/node/node_modules node --test tests/e2e/page_test.mjs
//
// One hub, one browser; the cases run in order and each says what it needs. The console must stay
// empty all the time, except for refused connections while the hub is away on purpose.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url); // follows NODE_PATH, import does not
const { chromium } = require('playwright-core');
const mqtt = require('mqtt');
const axeSource = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');

const PATIENCE_MS = 30_000;
const tree = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..', '..');
const home = fs.mkdtempSync(path.join(os.tmpdir(), 'tandem-page-'));
const ports = {};
let hub, browser, page, device, isAway = false;
const complaints = [];

// ---- hub, device, browser ----

function freePort() {
    return new Promise((resolve, reject) => {
        const port = 25_100 + Math.floor(Math.random() * 800);
        const probe = net.createServer();
        probe.once('error', () => freePort().then(resolve, reject));
        probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(port)));
    });
}

function startHub() {
    return new Promise((resolve, reject) => {
        hub = spawn(process.env.TANDEM ?? path.join(tree, 'build', 'dev', 'tandem'), [
            'serve', '--data', path.join(home, 'data'), '--rules', path.join(tree, 'examples', 'town.td'),
            '--mqtt', `127.0.0.1:${ports.mqtt}`, '--http', `127.0.0.1:${ports.http}`,
        ]);
        let said = '';
        hub.stdout.on('data', (d) => {
            said += d;
            if (/^ready /m.test(said)) {
                resolve();
            }
        });
        hub.stderr.on('data', (d) => (said += d));
        hub.once('error', reject);
        hub.once('exit', () => reject(new Error(`the hub ended:\n${said}`)));
    });
}

function killHub() {
    return new Promise((resolve) => {
        hub.removeAllListeners('exit');
        hub.once('exit', resolve);
        hub.kill('SIGKILL');
    });
}

const say = (topic, payload, options = {}) =>
    device.publishAsync(topic, typeof payload === 'string' ? payload : JSON.stringify(payload), { qos: 1, ...options });

const url = (view = '') => `http://127.0.0.1:${ports.http}/${view}`;
const tile = (label) => page.locator('.tile', { has: page.locator(`.tile-label bdi:text-is("${label}")`) });
const valueOf = (label) => tile(label).locator('.tile-value').first();

async function eventually(what, happened) {
    const end = Date.now() + PATIENCE_MS;
    for (;;) {
        const value = await happened().catch(() => undefined);
        if (value) {
            return value;
        }
        if (Date.now() > end) {
            throw new Error(`waited ${PATIENCE_MS} ms for ${what}; the page says:\n${await page.innerText('body')}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 25));
    }
}

const shows = (locator, text) => eventually(`"${text}"`, async () => (await locator.innerText()).includes(text));

async function open(view) {
    await page.goto(url(view));
    await page.waitForSelector('h1, h2');
}

before(async () => {
    ports.mqtt = await freePort();
    ports.http = await freePort();
    await startHub();
    device = await mqtt.connectAsync({ host: '127.0.0.1', port: ports.mqtt, reconnectPeriod: 200, clientId: 'page-device' });
    device.on('error', () => {});
    browser = await chromium.launch({
        executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
        args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
            '--disable-component-update', '--disable-sync'],
    });
    page = await browser.newPage({ viewport: { width: 1280, height: 900 }, reducedMotion: 'reduce' });
    page.on('console', (m) => {
        if (!(isAway && /ERR_|WebSocket|Failed to (load|fetch)/.test(m.text()))) {
            complaints.push(`${m.type()}: ${m.text()}`);
        }
    });
    page.on('pageerror', (e) => complaints.push(e.stack));
    page.on('dialog', (d) => complaints.push(`dialog: ${d.message()}`) && d.dismiss());
    page.on('request', (r) => {
        if (!r.url().startsWith(url()) && !r.url().startsWith('data:') && !r.url().startsWith('blob:')) {
            complaints.push(`request to another host: ${r.url()}`);
        }
    });
});

after(async () => {
    await device?.endAsync(true);
    await browser?.close();
    await killHub();
    fs.rmSync(home, { recursive: true, force: true });
});

const check = (name, run) => test(name, { timeout: 120_000 }, run);

// ---- cases ----

check('an empty hub says the one next step, and the first message opens the page', async () => {
    await open();
    await shows(page.locator('main'), 'Nothing has spoken yet');
    await shows(page.locator('main'), 'tandem pub -t hello/world -m 42');
    await say('hello/world', '42');
    await shows(valueOf('world'), '42');
});

check('the command that the empty page shows works as it stands', async () => {
    const answer = await fetch(url('api/v1/messages'), {
        method: 'POST',
        headers: { 'Content-Type': 'application/json' },
        body: '{"topic":"hello/world","payload":"43"}',
    });
    assert(answer.ok, await answer.text());
    await shows(valueOf('world'), '43');
});

check('values move, keep their form, and the sparkline is drawn', async () => {
    await say('home/living/temp', { value: 20.25 });
    await shows(valueOf('temp'), '20.25');
    for (const t of [20.5, 21, 1234.5]) {
        await say('home/living/temp', { value: t });
    }
    await shows(valueOf('temp'), '1\u202f234.50');
    await eventually('ink on the shared canvas', () =>
        page.evaluate(() => {
            const c = document.querySelector('.wall > canvas');
            return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v > 0);
        }),
    );
    await say('home/living/temp', { value: 20 });
});

check('a stock that falls below its reorder point shows the rule that acted', async () => {
    await say('par/cola', { low: 4, cap: 20 }, { retain: true });
    await say('vend/v1/cola', { stock: 12, sold: 100 });
    await shows(valueOf('cola stock'), '12');
    await say('vend/v1/cola', { stock: 3, sold: 109 });
    await shows(page.locator('.changes'), 'restock');
    await shows(page.locator('.changes'), 'orders');
    await shows(valueOf('qty'), '17');
    await page.click('.tabs a:has-text("Decisions")');
    const rule = page.locator('#rule-restock');
    await shows(rule, 'WHEN slot.stock < par.low');
    await shows(rule, '1×');
    await shows(rule, '"qty":17');
    await shows(page.locator('.actuators'), 'heater living');
});

check('a machine has a chart with history, its table, and a cursor by keyboard', async () => {
    await open('#/machine/home%2Fliving');
    const chart = page.locator('.panel:has-text("temp") .plot');
    await chart.locator('canvas').waitFor();
    await chart.focus();
    await eventually('a reading in words', async () => {
        await page.keyboard.press('ArrowLeft');
        return /\d/.test(await chart.getAttribute('aria-valuetext'));
    });
    await page.click('button:has-text("Table")');
    await shows(page.locator('.panel:has-text("temp") table'), '1\u202f234.50');
    await say('home/living/temp', { value: 19.5 });
    await shows(page.locator('.panel:has-text("temp") table'), '19.50');
    for (const span of ['1 h', '24 h']) {
        await page.click(`button:has-text("${span}")`);
        await shows(page.locator('.panel:has-text("temp") table'), '1\u202f234.50');
    }
    assert.match(page.url(), /range=24h/);
});

check('pausing holds the picture, going on shows the newest', async () => {
    await open();
    await shows(valueOf('temp'), '19.5');
    await page.keyboard.press('p');
    await say('home/living/temp', { value: 18 });
    await shows(page.locator('.link-state'), 'waiting');
    assert.match(await valueOf('temp').innerText(), /19\.5/);
    await page.keyboard.press('p');
    await shows(valueOf('temp'), '18.0');
});

check('the filter is one key away, stands in the address, and arrows walk the tiles', async () => {
    await page.keyboard.press('/');
    await page.keyboard.type('cola stock');
    await eventually('one tile', async () => (await page.locator('.tile').count()) === 1);
    assert.match(page.url(), /q=cola/);
    await page.fill('#filter', '');
    await page.locator('.tile').first().focus();
    await page.keyboard.press('ArrowRight');
    const focused = await page.evaluate(() => document.activeElement.className);
    assert.match(focused, /tile/);
    await page.keyboard.press('Enter');
    await page.waitForSelector('.panels');
});

check('SQL answers, and a mistake is explained', async () => {
    await open('#/explore');
    await page.click('button:has-text("Run")');
    await shows(page.locator('main'), 'home/living/temp');
    await page.fill('textarea', 'SELECT nonsense FROM points');
    isAway = true; // a 400 is written to the console by the browser itself
    await page.keyboard.press('Control+Enter');
    await shows(page.locator('.trouble'), 'nonsense');
    isAway = false;
});

check('the hub is killed: the page says so, and heals without a reload when it is back', async () => {
    await open('#/machine/home%2Fliving?as=table');
    const table = page.locator('.panel:has-text("temp") table');
    await shows(table, '18.00');
    await page.evaluate(() => (window.isSamePage = true));
    isAway = true;
    await killHub();
    await shows(page.locator('.away'), 'does not answer');
    await shows(page.locator('.values'), 'hub away');
    await startHub();
    const up = Date.now();
    await shows(page.locator('.link-state'), 'Live');
    const healed = Date.now() - up;
    isAway = false;
    await eventually('the device is back', async () => device.connected);
    await say('home/living/temp', { value: 17 });
    await shows(table, '17.00');
    await shows(table, '18.00'); // from before the kill, out of the history
    assert(await page.evaluate(() => window.isSamePage), 'the page was reloaded');
    console.log(`# the page was live ${healed} ms after the hub was ready`);
    assert(healed < 5000, `healed after ${healed} ms`);
});

const HOSTILE = [
    '<img src=x onerror="window.pwned=1">',
    '<script>window.pwned=2</script>',
    '"><svg onload=window.pwned=3>',
    "javascript:window.pwned=4//'",
    '{{constructor.constructor("window.pwned=5")()}}',
    '</title></textarea><iframe srcdoc="<script>parent.pwned=6</script>">',
    '\u202egnp.exe \u2066isolated \u200f',
    'Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334\u0319\u0324'.repeat(6),
    '\ud83d\udc69\u200d\ud83d\udc69\u200d\ud83d\udc67 \ufdfd \ufeff\u2028\u2029',
    'x'.repeat(250),
    '%00%0a%3cb%3e..%2f..%2f',
    "'; DROP TABLE points; --",
    '__proto__', 'constructor', 'NaN', '-0', '1e400', 'null', 'undefined', '${7*7}',
];

check('hostile names and texts stay text on every view, and break no layout', async () => {
    for (const [i, text] of HOSTILE.entries()) {
        const topic = text.replace(/[+#/\0]/g, '_');
        await say(`evil/${i}`, { value: text });
        await say(`evil/${topic}/${i}`, { [text]: text });
        await say(topic, text);
        await say('things/' + topic + '/state', { on: i % 2 === 0, [text]: i });
    }
    const views = ['', '#/now?as=table', '#/machine/evil', '#/machine/evil?as=table', '#/decisions', '#/explore?sql=<img/src/onerror=alert(1)>',
        `#/machine/${encodeURIComponent(HOSTILE[0].replace(/[+#/\0]/g, '_'))}`, '#/machine/%E0%A4%A', '#/nowhere', '#/system'];
    for (const width of [1280, 360]) {
        await page.setViewportSize({ width, height: 740 });
        for (const view of views) {
            await open(view);
            await page.waitForTimeout(300);
            const found = await page.evaluate(() => ({
                pwned: window.pwned,
                elements: document.querySelectorAll('#page :is(img, script, iframe, object, embed, [onerror], [onload], [onclick])').length,
                title: document.title.length,
                wide: document.documentElement.scrollWidth - document.documentElement.clientWidth,
            }));
            assert.equal(found.pwned, undefined, view);
            assert.equal(found.elements, 0, view);
            assert(found.title < 120, view);
            assert(found.wide <= 0, `${view || 'now'} at ${width}: ${found.wide} px too wide`);
        }
    }
});

check('axe finds nothing serious on any view, light, dark and on a phone', async () => {
    const views = ['', '#/now?as=table', '#/machine/vend%2Fv1', '#/machine/home%2Fliving?as=table', '#/decisions', '#/explore', '#/system'];
    const found = [];
    for (const [scheme, width] of [['light', 1280], ['dark', 1280], ['light', 360]]) {
        await page.emulateMedia({ colorScheme: scheme });
        await page.setViewportSize({ width, height: 800 });
        for (const view of views) {
            await open(view);
            await page.waitForTimeout(500);
            await page.evaluate(axeSource);
            const { violations } = await page.evaluate(() =>
                axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'] }));
            for (const v of violations.filter((v) => ['serious', 'critical'].includes(v.impact))) {
                found.push(`${scheme} ${width} ${view || 'now'}: ${v.id}: ${v.help}: ${v.nodes.slice(0, 3).map((n) => `${n.html.slice(0, 160)} ${n.any[0]?.message ?? ''}`).join(' | ')}`);
            }
        }
    }
    assert.deepEqual(found, []);
});

check('the page came from the binary: compressed, cached for ever by its hash, under its policy', async () => {
    const html = await fetch(url());
    assert.match(html.headers.get('content-security-policy'), /default-src 'self'/);
    const script = (await html.text()).match(/src="(\/assets\/[^"]+\.js)"/)[1];
    const answer = await fetch(url(script.slice(1)), { headers: { 'Accept-Encoding': 'br' } });
    assert.equal(answer.headers.get('content-encoding'), 'br');
    assert.match(answer.headers.get('cache-control'), /immutable/);
    const again = await fetch(url(), { headers: { 'If-None-Match': html.headers.get('etag') } });
    assert.equal(again.status, 304);
});

check('the console stayed empty and nobody else was asked', () => {
    assert.deepEqual(complaints, []);
});
