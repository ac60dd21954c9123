// What the page knows: things, their values, what changed. Fed by the live feed and by /api/v1.
//
//   frame -> Model.value(): plain fields, cheap, at any rate
//         -> flush(), once per picture and not while paused: signals -> text nodes
//
// So a fast device costs the page a map lookup per value, and the DOM one change per picture.
// Bounds: SERIES_MAX values and EVENTS_MAX events; what is beyond is counted and said on the page.
import { signal, type Signal } from '@preact/signals';
import { decimalsOf } from './format';
import { Quality, type NameEntry, type Type, type Value, type ValueEntry } from './frame';
import { Spark } from './spark';

export const SERIES_MAX = 5000;
const EVENTS_MAX = 200;
const SILENT_INTERVALS = 10;
const SILENT_LEAST_MS = 30_000;

export interface Reading {
    readonly value: Value;
    readonly timeMs: number; // hub's wall clock; 0: never heard
    readonly quality: Quality;
}

const NEVER: Reading = { value: null, timeMs: 0, quality: Quality.unknown };

/** Learns how often a value comes, to notice when it no longer does. Only regular ones are judged:
 * what is said when something happens may rightly be quiet for long. */
class Rhythm {
    private lastMs = 0;
    private count = 0;
    private mean = 0;
    private spread = 0;

    heard(timeMs: number): void {
        const gap = timeMs - this.lastMs;
        if (this.lastMs > 0) {
            this.count++;
            const weight = 1 / Math.min(this.count, 16);
            this.spread += (Math.abs(gap - this.mean) - this.spread) * (this.count > 1 ? weight : 0);
            this.mean += (gap - this.mean) * weight;
        }
        this.lastMs = timeMs;
    }

    /** The age from which the value counts as silent. */
    limitMs(): number {
        const isRegular = this.count >= 6 && this.spread < this.mean / 2;
        return isRegular ? Math.max(this.mean * SILENT_INTERVALS, SILENT_LEAST_MS) : Infinity;
    }
}

export class Series {
    readonly key: string;
    readonly label: string;
    readonly shown: Signal<Reading> = signal(NEVER);
    latest: Reading = NEVER;
    id = -1;
    decimals = 0;
    hidden = false; // its only place on the page is scrolled out of sight
    readonly spark = new Spark();
    readonly rhythm = new Rhythm();
    onValue: ((reading: Reading) => void) | undefined; // the open chart, if any

    constructor(
        readonly topic: string,
        readonly field: string,
        readonly thing: string,
        public type: Type,
    ) {
        this.key = keyOf(topic, field);
        this.label = labelOf(topic, field, thing);
    }

    /** All numbers of a value are shown with the decimals that any of them needs. */
    learnDecimals(values: readonly Value[]): void {
        for (const v of values) {
            if (typeof v === 'number') {
                this.decimals = Math.max(this.decimals, decimalsOf(v));
            }
        }
    }
}

export interface Thing {
    readonly name: string;
    readonly series: readonly Series[];
    readonly online: Signal<boolean>;
}

export interface HubEvent {
    readonly id: number;
    readonly timeMs: number;
    readonly rule: string;
    readonly key: string; // which of the rule's keys: "v1, cola"
    readonly text: string;
}

export function keyOf(topic: string, field: string): string {
    return topic + '\n' + field;
}

/** `things/<thing>/...` belongs to <thing>; other topics to themselves without the last level. */
export function thingOf(topic: string): string {
    const levels = topic.split('/');
    if (levels[0] === 'things' && levels.length > 2) {
        return levels[1]!;
    }
    return levels.length > 1 ? levels.slice(0, -1).join('/') : topic;
}

/** What is left to say once the thing is named: `cola stock`, `temp_c`, `light`. */
function labelOf(topic: string, field: string, thing: string): string {
    const prefix = topic.startsWith('things/') ? `things/${thing}/` : `${thing}/`;
    const rest = topic.startsWith(prefix) ? topic.slice(prefix.length) : '';
    const words = [rest.replaceAll('/', ' '), field === 'value' && rest ? '' : field];
    return words.filter(Boolean).join(' ') || topic;
}

const byLabel = (a: { label: string }, b: { label: string }) =>
    a.label.localeCompare(b.label, 'en', { numeric: true });
const byName = (a: { name: string }, b: { name: string }) =>
    a.name.localeCompare(b.name, 'en', { numeric: true });

class Model {
    readonly things = signal<readonly Thing[]>([]);
    readonly events = signal<readonly HubEvent[]>([]);
    readonly paused = signal(false);
    readonly waiting = signal(0); // values that came while paused
    readonly beyond = signal(0); // series not shown: more than SERIES_MAX
    readonly loaded = signal(false); // the hub told all it has at least once
    readonly series = new Map<string, Series>();
    onFlush: (changed: ReadonlySet<Series>) => void = () => {};

    private readonly byId = new Map<number, Series>();
    private readonly grouped = new Map<string, { online: Signal<boolean>; series: Series[] }>();
    private readonly dirty = new Set<Series>();
    private readonly later = new Set<Series>(); // news of hidden series: shown when they come in sight
    private newEvents: HubEvent[] = [];
    private structure = false;
    private scheduled = false;
    private eventCount = 0;

    /** Ids are one hub run's; after a reconnect they are learned anew. */
    forgetIds(): void {
        this.byId.clear();
    }

    name(entry: NameEntry, thing = thingOf(entry.topic)): Series | undefined {
        const key = keyOf(entry.topic, entry.field);
        let series = this.series.get(key);
        if (!series) {
            if (this.series.size >= SERIES_MAX) {
                this.beyond.value++;
                return undefined;
            }
            series = new Series(entry.topic, entry.field, thing, entry.type);
            this.series.set(key, series);
            this.group(series);
        }
        series.id = entry.id;
        this.byId.set(entry.id, series);
        return series;
    }

    private group(series: Series): void {
        let thing = this.grouped.get(series.thing);
        if (!thing) {
            thing = { online: signal(true), series: [] };
            this.grouped.set(series.thing, thing);
        }
        thing.series.push(series);
        this.structure = true;
        this.schedule();
    }

    online(thing: string, online: boolean): void {
        const known = this.grouped.get(thing);
        if (known) {
            known.online.value = online;
        }
    }

    value(entry: ValueEntry, frameMs: number): void {
        const series = this.byId.get(entry.id);
        if (series) {
            const timeMs = frameMs - entry.ageMs;
            this.reading(series, { value: entry.value, timeMs, quality: entry.quality }, entry.type);
        }
    }

    reading(series: Series, reading: Reading, type: Type): void {
        if (reading.timeMs < series.latest.timeMs) {
            return; // an answer that was under way while the feed moved on
        }
        const news = reading.timeMs > series.latest.timeMs;
        series.latest = reading;
        if (type !== 'none') {
            series.type = type;
        }
        series.learnDecimals([reading.value]);
        if (news) {
            series.spark.add(reading.timeMs, reading.value);
            series.rhythm.heard(reading.timeMs);
            series.onValue?.(reading);
        }
        this.dirty.add(series);
        this.schedule();
    }

    event(event: Omit<HubEvent, 'id'>): void {
        this.newEvents.push({ id: ++this.eventCount, ...event });
        this.newEvents = this.newEvents.slice(-EVENTS_MAX);
        this.schedule();
    }

    setHidden(series: Series, hidden: boolean): void {
        series.hidden = hidden;
        if (!hidden && this.later.delete(series)) {
            this.dirty.add(series);
            this.schedule();
        }
    }

    /** Hidden pages get no animation frames, so a hidden tab costs no DOM work at all. */
    private schedule(): void {
        if (this.paused.value) {
            this.waiting.value = this.dirty.size;
        } else if (!this.scheduled) {
            this.scheduled = true;
            requestAnimationFrame(() => this.flush());
        }
    }

    setPaused(paused: boolean): void {
        this.paused.value = paused;
        this.waiting.value = 0;
        if (!paused) {
            this.schedule();
        }
    }

    private flush(): void {
        this.scheduled = false;
        if (this.paused.value) {
            return;
        }
        if (this.structure) {
            this.structure = false;
            this.things.value = [...this.grouped]
                .map(([name, t]) => ({ name, online: t.online, series: [...t.series].sort(byLabel) }))
                .sort(byName);
        }
        if (this.newEvents.length > 0) {
            this.events.value = [...this.newEvents.reverse(), ...this.events.value].slice(0, EVENTS_MAX);
            this.newEvents = [];
        }
        for (const series of this.dirty) {
            if (series.hidden) {
                this.later.add(series);
                this.dirty.delete(series);
            } else {
                series.shown.value = series.latest;
            }
        }
        this.onFlush(this.dirty);
        this.dirty.clear();
    }
}

export const model = new Model();
