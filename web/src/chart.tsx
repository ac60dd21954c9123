// One numeric value over time: a line in its min/max band, on a cursor shared by all charts of the
// page. uPlot draws; this file gives it columns, colours, and a keyboard.
import { useComputed, useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { clockTime, dateTime, formatNumber } from './format';
import type { History } from './history';
import { hubTimeMs } from './live';
import { model, type Series } from './model';
import { painted } from './theme';

const HEIGHT = 168;
const CURSOR_KEY = 'tandem';
const DAY_MS = 86_400_000;

function tickWords(span: number) {
    return (_: uPlot, splits: number[], __: number, ___: number, step: number) =>
        splits.map((s) => (span <= DAY_MS && step < 60 ? clockTime(s * 1000) : clockTime(s * 1000).slice(0, 5)));
}

function options(series: Series, history: History, width: number, onCursor: (u: uPlot) => void): uPlot.Options {
    const style = getComputedStyle(document.documentElement);
    const token = (name: string) => style.getPropertyValue(name).trim();
    const axis: uPlot.Axis = {
        stroke: token('--ink-2'),
        font: `12px ${token('--font')}`,
        grid: { stroke: token('--line'), width: 1 },
        ticks: { show: false },
    };
    const line = token('--chart-line');
    const isHeld = series.type === 'int';
    const paths = isHeld ? uPlot.paths.stepped!({ align: 1 }) : uPlot.paths.linear!();
    const edge: uPlot.Series = { paths, stroke: 'transparent', width: 0, points: { show: false } };
    return {
        width,
        height: HEIGHT,
        legend: { show: false },
        padding: [8, 12, 0, 0],
        cursor: { sync: { key: CURSOR_KEY, setSeries: false }, drag: { x: false, y: false }, points: { size: 7 } },
        scales: {
            x: { range: () => [(hubTimeMs() - history.spanMs) / 1000, hubTimeMs() / 1000] },
            y: { range: (_, least, most) => yRange(least, most, isHeld) },
        },
        axes: [
            { ...axis, size: 28, values: tickWords(history.spanMs), space: 72 },
            { ...axis, size: 60, space: 32, values: (_, splits) => splits.map((v) => shortNumber(v)) },
        ],
        series: [
            {},
            { paths, stroke: line, width: 1.5, points: { show: false }, spanGaps: false },
            edge,
            edge,
        ],
        bands: [{ series: [3, 2], fill: token('--chart-band') }],
        hooks: { setCursor: [onCursor] },
    };
}

/** Air above and below; a flat line stands in the middle; counts start at zero. */
function yRange(least: number | null, most: number | null, fromZero: boolean): [number, number] {
    if (least === null || most === null || !Number.isFinite(least)) {
        return [0, 1];
    }
    const low = fromZero && least >= 0 && least < most * 0.7 ? 0 : least;
    const air = (most - low) * 0.08 || Math.abs(most) * 0.1 || 1;
    return [low === 0 && least >= 0 ? 0 : low - air, most + air];
}

function shortNumber(v: number): string {
    const size = Math.abs(v);
    const steps: [number, string][] = [[1e9, 'G'], [1e6, 'M'], [1e4, 'k']];
    for (const [unit, letter] of steps) {
        if (size >= unit) {
            return `${+(v / (unit === 1e4 ? 1e3 : unit)).toPrecision(4)}${letter}`;
        }
    }
    return String(+v.toPrecision(6)).replace('-', '\u2212');
}

export function Chart({ series, history, version }: { series: Series; history: History; version: number }) {
    const box = useRef<HTMLDivElement>(null);
    const plot = useRef<uPlot>();
    const cursor = useSignal<{ t: number; last: number; min: number; max: number } | undefined>(undefined);
    const words = useComputed(() => {
        const c = cursor.value;
        if (!c) {
            return '';
        }
        const n = (v: number) => formatNumber(v, Math.max(series.decimals, 0));
        const time = history.spanMs < DAY_MS ? clockTime(c.t * 1000) : dateTime(c.t * 1000);
        return `${time}   ${n(c.last)}${c.min < c.max ? `   (${n(c.min)} to ${n(c.max)})` : ''}`;
    });

    useEffect(() => {
        const element = box.current!;
        const onCursor = (u: uPlot) => {
            const at = u.cursor.idx;
            const [t, last, min, max] = [0, 1, 2, 3].map((i) => (at == null ? null : u.data[i]?.[at]));
            cursor.value = t == null || last == null ? undefined : { t, last, min: min ?? last, max: max ?? last };
        };
        const make = () => {
            plot.current?.destroy();
            const data = history.chart(hubTimeMs());
            plot.current = new uPlot(options(series, history, element.clientWidth, onCursor), data as uPlot.AlignedData, element);
        };
        make();
        const resized = new ResizeObserver(() => plot.current?.setSize({ width: element.clientWidth, height: HEIGHT }));
        resized.observe(element);
        let first = true;
        const unpaint = painted.subscribe(() => (first ? (first = false) : make()));
        const timer = setInterval(
            () => {
                if (!model.paused.value && !document.hidden) {
                    plot.current?.setData(history.chart(hubTimeMs()) as uPlot.AlignedData);
                }
            },
            Math.min(5000, Math.max(500, history.spanMs / 1500)),
        );
        return () => {
            clearInterval(timer);
            unpaint();
            resized.disconnect();
            plot.current?.destroy();
            plot.current = undefined;
        };
    }, [history, version]);

    const onKeyDown = (e: KeyboardEvent) => {
        const u = plot.current;
        const step = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20 }[e.key];
        if (!u || !step) {
            return;
        }
        e.preventDefault();
        const times = u.data[0];
        const at = Math.max(0, Math.min(times.length - 1, (u.cursor.idx ?? times.length) + step));
        u.setCursor({ left: u.valToPos(times[at] ?? 0, 'x'), top: u.bbox.height / devicePixelRatio / 2 });
    };

    return (
        <>
            <p class="cursor-words" aria-hidden="true">
                {words}
            </p>
            <div
                class="plot"
                ref={box}
                role="slider"
                tabIndex={0}
                aria-label={`${series.label}: chart; arrow keys read its values`}
                aria-valuenow={cursor.value?.last ?? 0}
                aria-valuetext={words.value || 'no reading chosen'}
                onKeyDown={onKeyDown}
            />
        </>
    );
}
