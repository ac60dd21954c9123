// Now: every thing with its current values, as tiles or as a table, and what changed lately.
import { useComputed, useSignal, type ReadonlySignal } from '@preact/signals';
import { createContext } from 'preact';
import { useContext, useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { api } from '../api';
import { formatValue, plain, typeWord, unitOf } from '../format';
import { hubNow, hubTimeMs, link, refill } from '../live';
import { model, SERIES_MAX, type Series, type Thing } from '../model';
import { href, route, setParam } from '../route';
import { SPARK_COLUMNS, SPARK_STEP_MS } from '../spark';
import { SparkLayer } from '../sparklayer';
import { painted } from '../theme';
import { Age, Choices, Doubt, doubtOf, Foreign, useSeen } from '../ui';
import { Changes } from './changes';
import { FirstRun } from './firstrun';

const TILES_STEP = 240; // more appear as one scrolls

const Layer = createContext<{ current: SparkLayer | null }>({ current: null });

/** Sparklines start with what the hub remembers; at most four questions are under way at once. */
const wanted: Series[] = [];
let asking = 0;

function askNext(): void {
    let series = asking < 4 ? wanted.shift() : undefined;
    while (series && (series.spark.filled || series.id < 0)) {
        series = wanted.shift();
    }
    if (!series) {
        return;
    }
    fillSpark(series);
}

function fillSpark(series: Series): void {
    series.spark.filled = true;
    asking++;
    const to = hubTimeMs();
    api.series(series.id, to - SPARK_COLUMNS * SPARK_STEP_MS, to, SPARK_COLUMNS)
        .then(
            ({ t, v }) => {
                series.learnDecimals(v);
                series.spark.fill(t, v);
            },
            () => (series.spark.filled = false), // asked again when it comes into view again
        )
        .finally(() => {
            asking--;
            askNext();
        });
}

function wantHistory(series: Series): void {
    wanted.push(series);
    askNext();
}

function sighted(series: Series, isInSight: boolean | undefined): void {
    model.setHidden(series, isInSight === false);
    if (isInSight && !series.spark.filled) {
        wantHistory(series);
    }
}

function Tile({ series, online }: { series: Series; online: ReadonlySignal<boolean> }) {
    const layer = useContext(Layer);
    const slot = useRef<HTMLSpanElement>(null);
    const text = useComputed(() => formatValue(series.shown.value.value, series.decimals));
    const look = useComputed(() => 
        ['tile', series.type, text.value.length > 8 && 'long', doubtOf(series, online) && 'stale'].filter(Boolean).join(' '),
    );
    const unit = unitOf(series.topic, series.field);
    useLayoutEffect(() => {
        const element = slot.current!;
        layer.current?.add(element, series);
        return () => layer.current?.remove(element);
    }, [series]);
    return (
        <a class={look} href={href('machine', series.thing, { value: series.key })}>
            <span class="tile-label" title={`${plain(series.topic)} ${plain(series.field)} (${series.type})`}>
                <Foreign text={series.label} most={80} />
            </span>
            <span class="tile-value">
                <bdi>{text}</bdi>
                {unit && <small> {unit}</small>}
            </span>
            <span class="spark" ref={slot} aria-hidden="true" />
            <span class="tile-foot">
                <Doubt series={series} online={online} />
                <span class="age">
                    <Age series={series} />
                </span>
            </span>
        </a>
    );
}

/** A card is as many tiles wide as makes it compact. */
function shapeOf(tiles: number): { look: string; columns: number } {
    if (tiles > 8) {
        return { look: 'card wide', columns: 0 };
    }
    if (tiles === 1) {
        return { look: 'card', columns: 1 };
    }
    const columns = tiles > 6 ? 4 : tiles > 4 || tiles === 3 ? 3 : 2;
    return { look: `card ${['two', 'three', 'four'][columns - 2]}`, columns };
}

/** The end of a long name tells more than its beginning. */
function shortName(name: string): string {
    const levels = name.split('/');
    while (levels.length > 1 && levels.join('/').length > 14) {
        levels.shift();
    }
    const short = levels.join('/');
    return short === name ? name : `…/${short}`;
}

function Card({ thing, series }: { thing: Thing; series: readonly Series[] }) {
    const { look, columns } = shapeOf(series.length);
    // How many rows of tiles there are tells the grid how high the card is: cards close up.
    const rows = (across: number) => Math.ceil(series.length / Math.max(1, across));
    const style = columns ? { '--rows': rows(columns), '--rows-narrow': rows(Math.min(columns, 2)) } : {};
    return (
        <section class={look} style={style} aria-label={thing.name}>
            <header>
                <h2>
                    <a href={href('machine', thing.name)} title={plain(thing.name, 1000)}>
                        <Foreign text={columns === 1 ? shortName(thing.name) : thing.name} most={80} />
                    </a>
                </h2>
                {!thing.online.value && <span class="flag">silent</span>}
            </header>
            <div class="tiles">
                {series.map((s) => (
                    <Tile key={s.key} series={s} online={thing.online} />
                ))}
            </div>
        </section>
    );
}

/** Arrow keys walk from tile to tile, the way they lie on the screen. */
function walk(e: KeyboardEvent): void {
    const from = (e.target as HTMLElement).closest?.('.tile');
    const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[e.key];
    if (!from || !step) {
        return;
    }
    e.preventDefault();
    const here = from.getBoundingClientRect();
    const [dx, dy] = step as [number, number];
    let best: HTMLElement | undefined;
    let bestCost = Infinity;
    for (const tile of document.querySelectorAll<HTMLElement>('.tile')) {
        const at = tile.getBoundingClientRect();
        const along = (at.left - here.left) * dx + (at.top - here.top) * dy;
        const across = Math.abs((at.left - here.left) * dy) + Math.abs((at.top - here.top) * dx);
        const cost = along + across * 3;
        if (along > 4 && cost < bestCost) {
            best = tile;
            bestCost = cost;
        }
    }
    best?.focus();
}

interface Part {
    thing: Thing;
    series: readonly Series[];
}

function matching(things: readonly Thing[], q: string): Part[] {
    const words = q.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length === 0) {
        return things.map((thing) => ({ thing, series: thing.series }));
    }
    const hit = (s: Series) => {
        const name = `${s.topic} ${s.field}`.toLowerCase();
        return words.every((w) => name.includes(w));
    };
    return things.map((thing) => ({ thing, series: thing.series.filter(hit) })).filter((p) => p.series.length > 0);
}

function firstParts(parts: readonly Part[], tiles: number): Part[] {
    const first: Part[] = [];
    for (const part of parts) {
        if (tiles <= 0) {
            break;
        }
        first.push({ thing: part.thing, series: part.series.slice(0, tiles) });
        tiles -= part.series.length;
    }
    return first;
}

function More({ onSeen }: { onSeen: () => void }) {
    const { ref, seen } = useSeen<HTMLParagraphElement>();
    useEffect(() => {
        if (seen.value) {
            onSeen();
        }
    }, [seen.value]);
    return (
        <p ref={ref} class="hint">
            More below …
        </p>
    );
}

function Wall({ parts }: { parts: readonly Part[] }) {
    const wall = useRef<HTMLDivElement>(null);
    const canvas = useRef<HTMLCanvasElement>(null);
    const layer = useRef<SparkLayer | null>(null);
    // Before the tiles' own effects run, so that they find the layer to enter themselves into.
    const makeLayer = (element: HTMLCanvasElement | null) => {
        canvas.current = element;
        if (element && !layer.current && element.parentElement) {
            layer.current = new SparkLayer(element.parentElement, element, hubTimeMs, sighted);
            model.onFlush = (changed) => layer.current?.news(changed);
        }
    };
    useEffect(() => () => {
        model.onFlush = () => {};
        layer.current?.close();
    }, []);
    useEffect(() => painted.subscribe(() => layer.current?.recolour()), []);
    useEffect(() => refill.subscribe(() => refillSparks()), []);
    useLayoutEffect(() => layer.current?.relayout());
    return (
        <div class="wall" ref={wall} onKeyDown={walk}>
            <canvas ref={makeLayer} aria-hidden="true" />
            <Layer.Provider value={layer}>
                {parts.map((p) => (
                    <Card key={p.thing.name} thing={p.thing} series={p.series} />
                ))}
            </Layer.Provider>
        </div>
    );
}

/** After a reconnect the gap is filled from history, for what was filled before. */
function refillSparks(): void {
    for (const series of model.series.values()) {
        if (series.spark.filled) {
            series.spark.filled = false;
            wantHistory(series);
        }
    }
}

function Row({ series, online }: { series: Series; online: ReadonlySignal<boolean> }) {
    const text = useComputed(() => formatValue(series.shown.value.value, series.decimals));
    const look = useComputed(() => (doubtOf(series, online) ? 'stale' : ''));
    return (
        <tr class={look}>
            <th scope="row">
                <a href={href('machine', series.thing, { value: series.key })}>
                    <Foreign text={series.label} most={80} />
                </a>
            </th>
            <td class="number">
                <bdi>{text}</bdi> {unitOf(series.topic, series.field)}
            </td>
            <td>{typeWord(series.type)}</td>
            <td>
                <Age series={series} /> <Doubt series={series} online={online} />
            </td>
        </tr>
    );
}

function ValueTable({ parts }: { parts: readonly Part[] }) {
    return (
        <div class="scroll" tabIndex={0} role="region" aria-label="Values">
            <table>
                <thead>
                    <tr>
                        <th scope="col">Value of</th>
                        <th scope="col" class="number">
                            Now
                        </th>
                        <th scope="col">Type</th>
                        <th scope="col">Heard</th>
                    </tr>
                </thead>
                {parts.map((p) => (
                    <tbody key={p.thing.name}>
                        <tr class="group">
                            <th scope="rowgroup" colSpan={4}>
                                <a href={href('machine', p.thing.name)}>
                                    <Foreign text={p.thing.name} most={80} />
                                </a>
                                {!p.thing.online.value && <span class="flag">silent</span>}
                            </th>
                        </tr>
                        {p.series.map((s) => (
                            <Row key={s.key} series={s} online={p.thing.online} />
                        ))}
                    </tbody>
                ))}
            </table>
        </div>
    );
}

function Summary() {
    const words = useComputed(() => {
        hubNow.value; // once a second is often enough to count
        const things = model.things.value;
        const doubts = things.reduce((n, t) => n + t.series.filter((s) => doubtOf(s, t.online, s.latest)).length, 0);
        const values = things.reduce((n, t) => n + t.series.length, 0);
        const count = (n: number, one: string) => `${n} ${one}${n === 1 ? '' : 's'}`;
        const parts = [count(things.length, 'thing'), count(values, 'value')];
        parts.push(link.value === 'lost' ? 'none current' : doubts ? `${doubts} not current` : 'all current');
        if (model.beyond.value) {
            parts.push(`only the first ${SERIES_MAX} shown`);
        }
        return parts.join(' · ');
    });
    return <p class="summary">{words}</p>;
}

export function Now() {
    const tiles = useSignal(TILES_STEP);
    const q = route.value.params.get('q') ?? '';
    const asTable = route.value.params.get('as') === 'table';
    if (model.things.value.length === 0) {
        return <FirstRun />;
    }
    const parts = matching(model.things.value, q);
    const shown = firstParts(parts, tiles.value);
    const isAll = shown.length === parts.length && shown.at(-1)?.series.length === parts.at(-1)?.series.length;
    return (
        <div class="with-aside">
            <div>
                <div class="bar">
                    <h1>Now</h1>
                    <Summary />
                    <input
                        id="filter"
                        type="search"
                        placeholder="Filter"
                        aria-label="Filter things and values"
                        value={q}
                        onInput={(e) => setParam('q', e.currentTarget.value)}
                    />
                    <Choices
                        label="Show as"
                        value={asTable ? 'table' : 'tiles'}
                        choices={[
                            { value: 'tiles', label: 'Tiles', icon: 'now' },
                            { value: 'table', label: 'Table', icon: 'table' },
                        ]}
                        onPick={(as) => setParam('as', as === 'table' ? as : '')}
                    />
                </div>
                {parts.length === 0 && (
                    <p class="hint">
                        Nothing is called “<Foreign text={q} />”. <a href={href('now')}>Show all</a>
                    </p>
                )}
                {asTable ? <ValueTable parts={shown} /> : <Wall parts={shown} />}
                {!isAll && <More key={tiles.value} onSeen={() => (tiles.value += TILES_STEP)} />}
            </div>
            <Changes />
        </div>
    );
}
