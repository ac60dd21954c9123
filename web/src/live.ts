// The connection to the hub: opens the feed, keeps it open, hands frames to the model.
//
//   opening -> live -> lost -> (wait with jitter) -> opening ...
//
// After a loss everything is asked for again: names and values come as a snapshot, charts refill
// from history when `refill` counts up. The page itself never reloads.
import { signal } from '@preact/signals';
import { api } from './api';
import { decodeFrame, Kind, Quality, type Frame } from './frame';
import { model } from './model';

const WAIT_FIRST_MS = 300;
const WAIT_MOST_MS = 2000; // a returned hub is whole on every page within two seconds
const SILENCE_MS = 10_000; // a feed this long without a frame is asked for a snapshot, once
const THINGS_EVERY_MS = 10_000;

export type LinkState = 'opening' | 'live' | 'lost';

export const link = signal<LinkState>('opening');
export const lostSinceMs = signal(0);
export const refill = signal(0); // counts fresh connections
export const hubNow = signal(Date.now()); // the hub's wall clock, ticking once a second
export const feedRate = signal(0); // values per second that arrive here

let skewMs = 0; // hub's clock minus this browser's
let socket: WebSocket | undefined;
let wait = WAIT_FIRST_MS;
let expectedSeq = -1;
let lastFrameAt = 0;
let asked = false; // a snapshot was asked for to see whether the hub is still there
let valueCount = 0;
let retry: ReturnType<typeof setTimeout> | undefined;

export const hubTimeMs = (): number => Date.now() + skewMs;

function watchAll(): void {
    socket?.send(JSON.stringify({ watch: ['*'] }));
}

/** {"rule": "restock", "key": "v1, cola", "text": "SEND orders ..", "time": ".."} */
function tellEvent(event: unknown, frameMs: number): void {
    const e = (typeof event === 'object' && event !== null ? event : {}) as Record<string, unknown>;
    const word = (v: unknown) => (typeof v === 'string' ? v : '');
    const timeMs = Date.parse(word(e.time)) || frameMs;
    model.event({ timeMs, rule: word(e.rule), key: word(e.key), text: word(e.text) });
}

function apply(frame: Frame): void {
    skewMs = frame.timeMs - Date.now();
    switch (frame.kind) {
        case Kind.snapshot:
            model.forgetIds();
            break;
        case Kind.names:
            frame.names.forEach((entry) => model.name(entry));
            break;
        case Kind.values:
            valueCount += frame.values.length;
            frame.values.forEach((entry) => model.value(entry, frame.timeMs));
            break;
        case Kind.event:
            tellEvent(frame.event, frame.timeMs);
            break;
    }
}

function received(data: unknown): void {
    lastFrameAt = Date.now();
    asked = false;
    if (!(data instanceof ArrayBuffer)) {
        return;
    }
    let frame: Frame;
    try {
        frame = decodeFrame(data);
    } catch {
        socket?.close(); // not our protocol, or damaged: a fresh start tells
        return;
    }
    const gap = expectedSeq >= 0 && frame.seq !== expectedSeq && frame.kind !== Kind.snapshot;
    expectedSeq = (frame.seq + 1) >>> 0;
    apply(frame);
    if (gap) {
        watchAll(); // something was dropped on the way: ask for a snapshot
    }
}

/** The list knows what the feed does not: which things are online, and values from before. */
export async function loadThings(): Promise<void> {
    try {
        const { things } = await api.things();
        for (const thing of things) {
            for (const s of thing.series) {
                const series = model.name(s, thing.thing);
                if (series && s.time !== null) {
                    const quality = s.quality === 'good' ? Quality.good : s.quality === 'stale' ? Quality.stale : Quality.unknown;
                    model.reading(series, { value: s.value, timeMs: Date.parse(s.time), quality }, s.type);
                }
            }
            model.online(thing.thing, thing.online);
        }
        model.loaded.value = true;
    } catch {
        // The feed's state already tells that the hub is away.
    }
}

function opened(): void {
    link.value = 'live';
    wait = WAIT_FIRST_MS;
    expectedSeq = -1;
    lastFrameAt = Date.now();
    asked = false;
    watchAll();
    void loadThings().then(() => refill.value++);
}

function lost(): void {
    socket = undefined;
    if (link.value !== 'lost') {
        lostSinceMs.value = Date.now();
        link.value = 'lost';
    }
    // Half fixed, half random: pages of a whole plant must not come back in one moment.
    retry = setTimeout(connect, wait / 2 + (Math.random() * wait) / 2);
    wait = Math.min(wait * 1.6, WAIT_MOST_MS);
}

export function connect(): void {
    clearTimeout(retry);
    const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
    const s = new WebSocket(`${scheme}//${location.host}/api/v1/live`, 'tandem.live.1');
    s.binaryType = 'arraybuffer';
    s.onopen = opened;
    s.onmessage = (e) => received(e.data);
    s.onclose = lost;
    socket = s;
}

function tick(): void {
    hubNow.value = hubTimeMs();
    feedRate.value = valueCount;
    valueCount = 0;
    if (socket?.readyState === WebSocket.OPEN && Date.now() - lastFrameAt > SILENCE_MS) {
        lastFrameAt = Date.now();
        if (asked) {
            socket.close();
        } else {
            asked = true;
            watchAll(); // an idle hub answers with a snapshot
        }
    }
}

export function start(): void {
    connect();
    setInterval(tick, 1000);
    setInterval(() => {
        if (link.value === 'live' && !document.hidden) {
            void loadThings();
        }
    }, THINGS_EVERY_MS);
    addEventListener('online', () => socket ?? connect());
}
