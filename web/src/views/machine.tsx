// Machine: one thing with all its values and their history, on one shared cursor.
import { useComputed, useSignal, type ReadonlySignal } from '@preact/signals';
import { useEffect, useMemo, useRef } from 'preact/hooks';
import { api } from '../api';
import { Chart } from '../chart';
import { formatNumber, formatValue, shortTime, spanWords, typeWord, unitOf } from '../format';
import type { Value } from '../frame';
import { History } from '../history';
import { hubNow, hubTimeMs, link, refill } from '../live';
import { model, type Series, type Thing } from '../model';
import { href, route, setParam } from '../route';
import { Age, Choices, Command, Doubt, doubtOf, Empty, Foreign, Icon, useSeen } from '../ui';

const RANGES = [
    { value: '15m', label: '15 min', ms: 15 * 60_000 },
    { value: '1h', label: '1 h', ms: 3_600_000 },
    { value: '24h', label: '24 h', ms: 86_400_000 },
] as const;
const COLUMNS = 720;
const TABLE_ROWS = 100;

/** A value's history from the hub, kept going by the live feed; asked again after a reconnect. */
function useHistory(series: Series, spanMs: number, wanted: boolean) {
    const history = useMemo(() => new History(spanMs, COLUMNS, series.type), [series, spanMs, refill.value]);
    const version = useSignal(0);
    const trouble = useSignal('');
    useEffect(() => {
        if (!wanted || series.id < 0) {
            return undefined;
        }
        const stop = new AbortController();
        const live: { timeMs: number; value: Value }[] = [];
        series.onValue = (reading) => live.push(reading);
        const ready = () => {
            // What came while the answer was under way goes behind it, in order.
            live.forEach((r) => history.add(r.timeMs, r.value));
            series.onValue = (reading) => history.add(reading.timeMs, reading.value);
            version.value++;
        };
        const to = hubTimeMs();
        api.series(series.id, to - spanMs, to, COLUMNS, stop.signal).then(
            ({ t, v }) => {
                series.learnDecimals(v);
                history.fill(t, v);
                trouble.value = '';
                ready();
            },
            (e: Error) => {
                if (!stop.signal.aborted) {
                    trouble.value = e.message;
                    ready();
                }
            },
        );
        return () => {
            stop.abort();
            series.onValue = undefined;
        };
    }, [history, wanted]);
    return { history, version: version.value, trouble: trouble.value };
}

function Head({ series, online, note }: { series: Series; online: ReadonlySignal<boolean>; note: string }) {
    const text = useComputed(() => formatValue(series.shown.value.value, series.decimals));
    const unit = unitOf(series.topic, series.field);
    return (
        <header>
            <h2>
                <Foreign text={series.label} most={80} />
            </h2>
            <span class={`big ${series.type}`}>
                <bdi>{text}</bdi>
                {unit && <small> {unit}</small>}
            </span>
            <span class="age">
                <Age series={series} /> <Doubt series={series} online={online} />
            </span>
            <span class="note">{note}</span>
        </header>
    );
}

function NumberTable({ series, history }: { series: Series; history: History }) {
    hubNow.value;
    const rows = history.columns.slice(-TABLE_ROWS).reverse();
    const n = (v: number) => formatNumber(v, series.decimals);
    return (
        <table>
            <thead>
                <tr>
                    <th scope="col">Time</th>
                    <th scope="col" class="number">Last</th>
                    <th scope="col" class="number">Least</th>
                    <th scope="col" class="number">Most</th>
                </tr>
            </thead>
            <tbody>
                {rows.map((c) => (
                    <tr key={c.at}>
                        <td>{shortTime(c.t, hubNow.value)}</td>
                        <td class="number">{n(c.last)}</td>
                        <td class="number">{n(c.min)}</td>
                        <td class="number">{n(c.max)}</td>
                    </tr>
                ))}
            </tbody>
        </table>
    );
}

function StateTable({ history }: { history: History }) {
    const now = hubNow.value;
    const segments = history.states(now);
    const rows = segments.map((s, i) => ({ ...s, toMs: segments[i + 1]?.fromMs ?? now }));
    return (
        <table>
            <thead>
                <tr>
                    <th scope="col">Since</th>
                    <th scope="col">Value</th>
                    <th scope="col" class="number">For</th>
                </tr>
            </thead>
            <tbody>
                {rows
                    .slice(-TABLE_ROWS)
                    .reverse()
                    .map((s) => (
                        <tr key={s.fromMs}>
                            <td>{shortTime(s.fromMs, now)}</td>
                            <td>
                                <bdi>{formatValue(s.value)}</bdi>
                            </td>
                            <td class="number">{spanWords(s.toMs - s.fromMs)}</td>
                        </tr>
                    ))}
            </tbody>
        </table>
    );
}

const TINTS = 6;
const TINTED_MAX = 256;
const tints = new Map<Value, number>();

/** Equal texts have the same tint on every strip. */
function tintOf(v: Value): string {
    const tint = tints.get(v) ?? tints.size % TINTS;
    if (tints.size < TINTED_MAX) {
        tints.set(v, tint);
    }
    return `tint-${tint}`;
}

/** Text and on/off values as a strip: one block per state, as wide as it lasted. */
function Strip({ history, bool }: { history: History; bool: boolean }) {
    const now = hubNow.value;
    const start = now - history.spanMs;
    const segments = history.states(now);
    const look = (v: Value) => `seg ${bool ? (v ? 'on' : 'off') : tintOf(v)}`;
    return (
        <div class="strip" aria-hidden="true">
            {segments.map((s, i) => {
                const from = Math.max(0, (s.fromMs - start) / history.spanMs);
                const to = ((segments[i + 1]?.fromMs ?? now) - start) / history.spanMs;
                const width = (to - from) * 100;
                const text = formatValue(s.value);
                return (
                    <span key={s.fromMs} class={look(s.value)} style={{ left: `${from * 100}%`, width: `${width}%` }} title={`${text}, since ${shortTime(s.fromMs, now)}`}>
                        {width > Math.min(5, text.length * 1.1 + 0.6) ? text : ''}
                    </span>
                );
            })}
        </div>
    );
}

function StripAxis({ spanMs }: { spanMs: number }) {
    const now = hubNow.value;
    return (
        <p class="strip-axis" aria-hidden="true">
            {[0, 0.25, 0.5, 0.75, 1].map((at) => (
                <span key={at}>{shortTime(now - spanMs * (1 - at), now).slice(-8, -3)}</span>
            ))}
        </p>
    );
}

function Panel(props: { series: Series; online: ReadonlySignal<boolean>; spanMs: number; asTable: boolean }) {
    const { series, online, spanMs, asTable } = props;
    const { ref, seen } = useSeen<HTMLElement>();
    const { history, version, trouble } = useHistory(series, spanMs, seen.value);
    const isNumber = series.type === 'int' || series.type === 'float';
    const note = useComputed(() => {
        hubNow.value;
        const range = history.range();
        return range ? `${formatNumber(range.min, series.decimals)} to ${formatNumber(range.max, series.decimals)}` : '';
    });
    return (
        <section class="panel" ref={ref} id={panelId(series)} aria-label={series.label} tabIndex={-1}>
            <Head series={series} online={online} note={isNumber ? note.value : ''} />
            {trouble && <p class="hint">No history: {trouble}.</p>}
            {seen.value && asTable && (
                <div class="scroll short" tabIndex={0} role="region" aria-label={`${series.label}: history`}>
                    {isNumber ? <NumberTable series={series} history={history} /> : <StateTable history={history} />}
                </div>
            )}
            {seen.value && !asTable && isNumber && <Chart series={series} history={history} version={version} />}
            {seen.value && !asTable && !isNumber && (
                <>
                    <Strip history={history} bool={series.type === 'bool'} />
                    <StripAxis spanMs={spanMs} />
                </>
            )}
        </section>
    );
}

function panelId(series: Series): string {
    return `value-${series.id}`;
}

function scrollTo(series: Series): void {
    const panel = document.getElementById(panelId(series));
    panel?.scrollIntoView({ block: 'start', behavior: matchMedia('(prefers-reduced-motion: reduce)').matches ? 'auto' : 'smooth' });
    panel?.focus({ preventScroll: true });
}

function ValueList({ thing }: { thing: Thing }) {
    return (
        <table class="values">
            <thead>
                <tr>
                    <th scope="col">Value</th>
                    <th scope="col" class="number">Now</th>
                    <th scope="col">Heard</th>
                </tr>
            </thead>
            <tbody>
                {thing.series.map((s) => (
                    <ValueRow key={s.key} series={s} online={thing.online} />
                ))}
            </tbody>
        </table>
    );
}

function ValueRow({ series, online }: { series: Series; online: ReadonlySignal<boolean> }) {
    const text = useComputed(() => formatValue(series.shown.value.value, series.decimals));
    const look = useComputed(() => (doubtOf(series, online) ? 'stale' : ''));
    return (
        <tr class={look}>
            <th scope="row">
                <button type="button" class="link" onClick={() => scrollTo(series)}>
                    <Foreign text={series.label} most={60} />
                </button>
                <small>{typeWord(series.type)}</small>
            </th>
            <td class="number">
                <bdi>{text}</bdi> {unitOf(series.topic, series.field)}
            </td>
            <td>
                <Age series={series} /> <Doubt series={series} online={online} />
            </td>
        </tr>
    );
}

/** Numbers first: they stand on one cursor; then the states. */
function ordered(thing: Thing): Series[] {
    const rank = (s: Series) => (s.type === 'int' || s.type === 'float' ? 0 : 1);
    return [...thing.series].sort((a, b) => rank(a) - rank(b));
}

function topicsOf(thing: Thing): string {
    const [first] = thing.series;
    const isOwn = thing.series.every((s) => s.topic === thing.name);
    const prefix = first?.topic.startsWith('things/') ? `things/${thing.name}` : thing.name;
    return isOwn ? prefix : `${prefix}/#`;
}

function Missing({ name }: { name: string }) {
    return (
        <Empty title={model.loaded.value ? 'No such thing' : 'Looking for it'}>
            <p>
                <Foreign text={name} /> has not spoken to this hub{link.value === 'live' ? '' : ', or the hub is away'}.
            </p>
            <p>
                <a href={href('now')}>See all things</a>
            </p>
        </Empty>
    );
}

export function Machine() {
    const { arg, params } = route.value;
    const thing = model.things.value.find((t) => t.name === arg);
    const range = RANGES.find((r) => r.value === params.get('range')) ?? RANGES[0];
    const asTable = params.get('as') === 'table';
    const went = useRef('');
    const goal = thing?.series.find((s) => s.key === params.get('value'));
    useEffect(() => {
        if (goal && went.current !== goal.key) {
            went.current = goal.key;
            scrollTo(goal);
        }
    }, [goal]);
    if (!thing) {
        return <Missing name={arg} />;
    }
    return (
        <>
            <div class="bar">
                <a class="back" href={href('now')}>
                    <Icon name="back" />
                    Now
                </a>
                <h1>
                    <Foreign text={thing.name} most={120} />
                </h1>
                <p class="summary">{thing.online.value ? 'online' : <span class="flag">silent</span>}</p>
                <Choices label="Span of time" value={range.value} choices={RANGES} onPick={(v) => setParam('range', v)} />
                <Choices
                    label="Show as"
                    value={asTable ? 'table' : 'charts'}
                    choices={[
                        { value: 'charts', label: 'Charts', icon: 'chart' },
                        { value: 'table', label: 'Table', icon: 'table' },
                    ]}
                    onPick={(as) => setParam('as', as === 'table' ? as : '')}
                />
            </div>
            <div class="machine">
                <aside aria-label="All values">
                    <ValueList thing={thing} />
                    <h2>Listen to it</h2>
                    <Command text={`tandem sub -v -t '${topicsOf(thing)}'`} />
                </aside>
                <div class="panels">
                    {ordered(thing).map((s) => (
                        <Panel key={s.key} series={s} online={thing.online} spanMs={range.ms} asTable={asTable} />
                    ))}
                </div>
            </div>
        </>
    );
}
