// One value over a span of time, as columns of equal width: what the hub remembers, then what comes
// live. A column keeps last, least and most; a chart draws the line of `last` in the band between
// the others, so a spike of one sample is seen at any zoom.
import type { Type, Value } from './frame';

export interface Segment {
    fromMs: number;
    value: Value;
}

export type ChartData = [t: number[], last: (number | null)[], min: (number | null)[], max: (number | null)[]];

const SEGMENTS_MAX = 2000;
const GAP_MEDIANS = 6; // silence of six usual intervals is drawn as a gap
const GAP_LEAST_MS = 15_000;

interface Column {
    at: number; // number of the column: floor(time / step)
    t: number; // time of its last reading
    last: number;
    min: number;
    max: number;
}

export class History {
    segments: Segment[] = []; // for text and bool: where the value changed
    columns: Column[] = [];
    latestMs = 0;
    private readonly stepMs: number;

    constructor(
        readonly spanMs: number,
        columns: number,
        readonly type: Type,
    ) {
        this.stepMs = Math.max(1, spanMs / columns);
    }

    fill(t: readonly number[], v: readonly Value[]): void {
        t.forEach((time, i) => this.add(time, v[i] ?? null));
    }

    add(t: number, value: Value): void {
        if (t < this.latestMs) {
            return;
        }
        this.latestMs = t;
        if (typeof value === 'number') {
            this.addNumber(t, value);
        } else if (value !== null) {
            this.addState(t, value);
        }
    }

    private addNumber(t: number, v: number): void {
        const at = Math.floor(t / this.stepMs);
        const column = this.columns[this.columns.length - 1];
        if (column?.at === at) {
            column.t = t;
            column.last = v;
            column.min = Math.min(column.min, v);
            column.max = Math.max(column.max, v);
        } else {
            this.columns.push({ at, t, last: v, min: v, max: v });
        }
    }

    private addState(t: number, value: Value): void {
        if (this.segments[this.segments.length - 1]?.value !== value) {
            this.segments.push({ fromMs: t, value });
            if (this.segments.length > SEGMENTS_MAX) {
                this.segments.shift();
            }
        }
    }

    /** Drops what left the span; one column or segment before its start stays, to be drawn from. */
    private trim(nowMs: number): void {
        const start = nowMs - this.spanMs;
        let old = 0;
        while (old + 1 < this.columns.length && this.columns[old + 1]!.t < start) {
            old++;
        }
        this.columns.splice(0, old);
        for (old = 0; old + 1 < this.segments.length && this.segments[old + 1]!.fromMs < start; ) {
            old++;
        }
        this.segments.splice(0, old);
    }

    private gapMs(): number {
        if (this.type === 'int') {
            return Infinity; // counts and set points hold until they change
        }
        const between = this.columns.slice(1).map((c, i) => c.t - this.columns[i]!.t);
        between.sort((a, b) => a - b);
        const median = between[between.length >> 1] ?? 0;
        return Math.max(median * GAP_MEDIANS, this.stepMs * 3, GAP_LEAST_MS);
    }

    /** Times in seconds, as uPlot wants them. */
    chart(nowMs: number): ChartData {
        this.trim(nowMs);
        const data: ChartData = [[], [], [], []];
        const gap = this.gapMs();
        let before = NaN;
        const push = (t: number, last: number | null, min: number | null, max: number | null) => {
            data[0].push(t / 1000);
            data[1].push(last);
            data[2].push(min);
            data[3].push(max);
        };
        for (const c of this.columns) {
            if (c.t - before > gap) {
                push(before + 1, null, null, null);
            }
            push(c.t, c.last, c.min, c.max);
            before = c.t;
        }
        const last = this.columns[this.columns.length - 1];
        if (last && this.type === 'int') {
            push(Math.max(nowMs, last.t + 1), last.last, last.last, last.last);
        }
        return data;
    }

    states(nowMs: number): readonly Segment[] {
        this.trim(nowMs);
        return this.segments;
    }

    /** Least and most within the span, for the words beside the chart. */
    range(): { min: number; max: number } | undefined {
        if (this.columns.length === 0) {
            return undefined;
        }
        return {
            min: Math.min(...this.columns.map((c) => c.min)),
            max: Math.max(...this.columns.map((c) => c.max)),
        };
    }
}
