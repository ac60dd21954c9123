// Small pieces that every view uses.
import { useComputed, useSignal, type ReadonlySignal } from '@preact/signals';
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { ageWords, plain } from './format';
import { hubNow, link } from './live';
import { Quality } from './frame';
import type { Series } from './model';

const ICONS = {
    now: 'M3 3h7v7H3zM14 3h7v7h-7zM3 14h7v7H3zM14 14h7v7h-7z',
    decisions: 'M5 4v6a4 4 0 0 0 4 4h10M15 10l4 4-4 4M5 14v6',
    explore: 'M4 19V5M4 19h16M8 15l3.5-4 3 2.5L20 8',
    system: 'M4 5h16v6H4zM4 13h16v6H4zM7.5 8h.01M7.5 16h.01',
    pause: 'M8 5v14M16 5v14',
    play: 'M7 4.5l12 7.5-12 7.5z',
    sun: 'M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6 19 19M19 5l-1.4 1.4M6.4 17.6 5 19',
    moon: 'M20 14.5A8.5 8.5 0 0 1 9.5 4a8.5 8.5 0 1 0 10.5 10.5z',
    auto: 'M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM12 3v18M12 7.5h5.5M12 12h9M12 16.5h5.5',
    copy: 'M9 9h11v11H9zM5 15H4V4h11v1',
    done: 'M4 12.5l5 5L20 6.5',
    back: 'M14 6l-6 6 6 6',
    chart: 'M3 17l5-6 4 3 4-7 5 5',
    table: 'M3 5h18v14H3zM3 10h18M3 14.5h18M9 10v9',
} as const;

export type IconName = keyof typeof ICONS;

export function Icon({ name }: { name: IconName }) {
    return (
        <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
            <path d={ICONS[name]} />
        </svg>
    );
}

/** Text from devices: as text, in its own direction, so that it cannot turn its surroundings. */
export function Foreign({ text, most }: { text: string; most?: number }) {
    return <bdi title={text.length > 24 ? plain(text, 1000) : undefined}>{plain(text, most)}</bdi>;
}

/** Why a value is not to be taken as current; empty when it is. */
export function doubtOf(series: Series, online: ReadonlySignal<boolean>, reading = series.shown.value): string {
    const { quality, timeMs } = reading;
    if (timeMs === 0) {
        return 'never heard';
    }
    if (link.value === 'lost') {
        return 'hub away';
    }
    if (quality === Quality.unknown) {
        return 'unknown';
    }
    if (quality === Quality.stale) {
        return 'stale';
    }
    return !online.value || hubNow.value - timeMs > series.rhythm.limitMs() ? 'silent' : '';
}

export function Age({ series }: { series: Series }) {
    const age = useComputed(() => {
        const { timeMs } = series.shown.value;
        return timeMs === 0 ? '' : ageWords(hubNow.value - timeMs);
    });
    return <>{age}</>;
}

export function Doubt({ series, online }: { series: Series; online: ReadonlySignal<boolean> }) {
    const doubt = useComputed(() => doubtOf(series, online));
    return doubt.value ? <span class="doubt">{doubt}</span> : null;
}

export function Command({ text }: { text: string }) {
    const copied = useSignal(false);
    const copy = () => {
        navigator.clipboard?.writeText(text).then(
            () => {
                copied.value = true;
                setTimeout(() => (copied.value = false), 1500);
            },
            () => {}, // without permission the text can still be selected
        );
    };
    return (
        <div class="command">
            <code tabIndex={0}>{text}</code>
            <button type="button" class="quiet" onClick={copy} aria-label={`Copy: ${text}`}>
                <Icon name={copied.value ? 'done' : 'copy'} />
                <span>{copied.value ? 'Copied' : 'Copy'}</span>
            </button>
        </div>
    );
}

export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
    return (
        <div class="empty">
            <h2>{title}</h2>
            {children}
        </div>
    );
}

interface Choice {
    value: string;
    label: string;
    icon?: IconName;
}

export function Choices(props: { label: string; choices: readonly Choice[]; value: string; onPick: (value: string) => void }) {
    return (
        <div class="choices" role="group" aria-label={props.label}>
            {props.choices.map((c) => (
                <button type="button" key={c.value} aria-pressed={c.value === props.value} onClick={() => props.onPick(c.value)}>
                    {c.icon && <Icon name={c.icon} />}
                    {c.label}
                </button>
            ))}
        </div>
    );
}

/** Calls fn now and then every so often while the component is there and the page is visible. */
export function usePoll(fn: () => unknown, everyMs: number, inputs: readonly unknown[]): void {
    const latest = useRef(fn);
    latest.current = fn;
    useEffect(() => {
        void latest.current();
        const timer = setInterval(() => document.hidden || latest.current(), everyMs);
        return () => clearInterval(timer);
    }, [everyMs, ...inputs]);
}

/** True once the element came near the window: work for what nobody scrolled to is not done. */
export function useSeen<E extends Element>() {
    const ref = useRef<E>(null);
    const seen = useSignal(false);
    useEffect(() => {
        const observer = new IntersectionObserver(
            ([entry]) => {
                if (entry?.isIntersecting) {
                    seen.value = true;
                    observer.disconnect();
                }
            },
            { rootMargin: '400px' },
        );
        observer.observe(ref.current!);
        return () => observer.disconnect();
    }, []);
    return { ref, seen };
}
