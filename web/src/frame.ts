// The live feed's binary frames (subprotocol tandem.live.1), decoded. All little-endian:
//
//   frame := u8 kind | u32 seq | i64 time_us | entry*
//   value := varint series | u8 form(4) quality(3) changed(1) | varint age_ms | payload by form
//   name  := varint series | lump topic | lump field | u8 type
//   event := JSON, the rest of the frame
//
// varint is LEB128, lump is a varint length and that many bytes. Pure: no DOM, no clock, no state.
// A frame that breaks its layout throws FrameError; nothing of it is then used.

export type Value = number | boolean | string | null;

export const enum Kind {
    values = 1,
    names = 2,
    event = 3,
    snapshot = 4,
}

export const enum Quality {
    good = 0,
    stale = 1,
    unknown = 2,
}

/** What a value is, in the hub's words; the place in the list is the byte on the wire. */
export const TYPES = ['none', 'float', 'float', 'int', 'bool', 'text'] as const;
export type Type = (typeof TYPES)[number];

export interface ValueEntry {
    id: number;
    type: Type;
    value: Value;
    quality: Quality;
    changed: boolean;
    ageMs: number;
}

export interface NameEntry {
    id: number;
    topic: string;
    field: string;
    type: Type;
}

interface Head {
    seq: number;
    timeMs: number;
}

export type Frame =
    | (Head & { kind: Kind.values; values: ValueEntry[] })
    | (Head & { kind: Kind.names; names: NameEntry[] })
    | (Head & { kind: Kind.event; event: unknown })
    | (Head & { kind: Kind.snapshot });

export class FrameError extends Error {}

const HEAD_BYTES = 13;
const text = new TextDecoder();

/** Reads forward through one frame; each read checks what is left. */
class Cursor {
    private at = 0;

    constructor(private readonly view: DataView) {}

    get left(): number {
        return this.view.byteLength - this.at;
    }

    private step(bytes: number): number {
        if (bytes > this.left) {
            throw new FrameError(`${bytes} bytes wanted at ${this.at}, ${this.left} left`);
        }
        const from = this.at;
        this.at += bytes;
        return from;
    }

    u8(): number {
        return this.view.getUint8(this.step(1));
    }

    u32(): number {
        return this.view.getUint32(this.step(4), true);
    }

    f32(): number {
        return this.view.getFloat32(this.step(4), true);
    }

    f64(): number {
        return this.view.getFloat64(this.step(8), true);
    }

    /** Beyond 2^53 the last digits go: a chart does not see them, SQL gives them exactly. */
    i64(): number {
        return Number(this.view.getBigInt64(this.step(8), true));
    }

    /** Ids, ages and lengths: more than 2^53 is nonsense here, so it is an error. */
    varint(): number {
        let value = 0;
        for (let scale = 1; ; scale *= 128) {
            const byte = this.u8();
            value += (byte & 0x7f) * scale;
            if (value > Number.MAX_SAFE_INTEGER || scale > 2 ** 49) {
                throw new FrameError('varint above 2^53');
            }
            if (byte < 0x80) {
                return value;
            }
        }
    }

    string(bytes: number): string {
        const from = this.view.byteOffset + this.step(bytes);
        return text.decode(new Uint8Array(this.view.buffer, from, bytes));
    }

    lump(): string {
        return this.string(this.varint());
    }
}

function typeOf(form: number): Type {
    const type = TYPES[form];
    if (type === undefined) {
        throw new FrameError(`unknown value form ${form}`);
    }
    return type;
}

function payload(c: Cursor, form: number): Value {
    switch (form) {
        case 0:
            return null;
        case 1:
            return c.f64();
        case 2:
            return c.f32();
        case 3:
            return c.i64();
        case 4:
            return c.u8() !== 0;
        default:
            return c.lump();
    }
}

function valueEntry(c: Cursor): ValueEntry {
    const id = c.varint();
    const bits = c.u8();
    const form = bits & 15;
    const type = typeOf(form);
    const quality = Math.min((bits >> 4) & 7, Quality.unknown) as Quality;
    const ageMs = c.varint();
    return { id, type, quality, changed: bits >= 128, ageMs, value: payload(c, form) };
}

function nameEntry(c: Cursor): NameEntry {
    return { id: c.varint(), topic: c.lump(), field: c.lump(), type: typeOf(c.u8()) };
}

function all<T>(c: Cursor, read: (c: Cursor) => T): T[] {
    const entries: T[] = [];
    while (c.left > 0) {
        entries.push(read(c));
    }
    return entries;
}

function json(c: Cursor): unknown {
    try {
        return JSON.parse(c.string(c.left));
    } catch (e) {
        throw new FrameError(`event is not JSON: ${String(e)}`);
    }
}

export function decodeFrame(bytes: ArrayBuffer | Uint8Array): Frame {
    const view =
        bytes instanceof Uint8Array
            ? new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
            : new DataView(bytes);
    if (view.byteLength < HEAD_BYTES) {
        throw new FrameError(`a frame has at least ${HEAD_BYTES} bytes, this one ${view.byteLength}`);
    }
    const c = new Cursor(view);
    const kind = c.u8();
    const head = { seq: c.u32(), timeMs: c.i64() / 1000 };
    switch (kind) {
        case Kind.values:
            return { ...head, kind, values: all(c, valueEntry) };
        case Kind.names:
            return { ...head, kind, names: all(c, nameEntry) };
        case Kind.event:
            return { ...head, kind, event: json(c) };
        case Kind.snapshot:
            return { ...head, kind };
        default:
            throw new FrameError(`unknown frame kind ${kind}`);
    }
}
