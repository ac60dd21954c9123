// The last five minutes of one value, in 60 columns of 5 s. A column keeps least, most and last, so
// a spike stays visible; never an average. Fixed size, whatever the device sends.
import type { Value } from './frame';

export const SPARK_COLUMNS = 60;
export const SPARK_STEP_MS = 5000;

/** Texts become one of a few shades: equal texts look equal, and a change shows. */
export const SPARK_SHADES = 4;

function shadeOf(text: string): number {
    let hash = text.length;
    for (let i = 0; i < text.length && i < 64; i++) {
        hash = (hash * 31 + text.charCodeAt(i)) >>> 0;
    }
    return (hash ^ (hash >>> 7)) % SPARK_SHADES;
}

export class Spark {
    min: Float64Array | undefined;
    max!: Float64Array;
    last!: Float64Array;
    head = 0; // absolute number of the newest column: floor(time / SPARK_STEP_MS)
    filled = false; // history was asked for

    private make(column: number): void {
        this.min = new Float64Array(SPARK_COLUMNS).fill(NaN);
        this.max = new Float64Array(SPARK_COLUMNS).fill(NaN);
        this.last = new Float64Array(SPARK_COLUMNS).fill(NaN);
        this.head = column;
    }

    /** Readings come in time order, but history may be filled in behind the newest. */
    add(timeMs: number, value: Value): void {
        if (value === null) {
            return;
        }
        const v = typeof value === 'string' ? shadeOf(value) : Number(value);
        const column = Math.floor(timeMs / SPARK_STEP_MS);
        if (!this.min) {
            this.make(column);
        }
        this.advance(column);
        if (column <= this.head - SPARK_COLUMNS) {
            return;
        }
        const at = column % SPARK_COLUMNS;
        const min = this.min!;
        min[at] = Number.isNaN(min[at]!) ? v : Math.min(min[at]!, v);
        this.max[at] = Number.isNaN(this.max[at]!) ? v : Math.max(this.max[at]!, v);
        this.last[at] = v;
    }

    /** Columns that were passed without a reading are empty. */
    advance(column: number): void {
        if (!this.min || column <= this.head) {
            return;
        }
        const from = Math.max(this.head + 1, column - SPARK_COLUMNS + 1);
        for (let c = from; c <= column; c++) {
            const at = c % SPARK_COLUMNS;
            this.min[at] = this.max[at] = this.last[at] = NaN;
        }
        this.head = column;
    }

    /** History in time order; what came live meanwhile stays as it is. */
    fill(t: readonly number[], v: readonly Value[]): void {
        const live = new Set<number>();
        if (this.min) {
            for (let c = this.head - SPARK_COLUMNS + 1; c <= this.head; c++) {
                if (!Number.isNaN(this.last[c % SPARK_COLUMNS]!)) {
                    live.add(c);
                }
            }
        }
        const newest = Math.floor((t[t.length - 1] ?? 0) / SPARK_STEP_MS);
        if (!this.min && t.length > 0) {
            this.make(newest);
        }
        t.forEach((time, i) => {
            if (!live.has(Math.floor(time / SPARK_STEP_MS))) {
                this.add(time, v[i] ?? null);
            }
        });
    }
}
