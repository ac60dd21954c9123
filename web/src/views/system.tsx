// System: is the hub well, what passes through it. Shows whatever /api/v1/system counts.
import { useSignal } from '@preact/signals';
import { api } from '../api';
import { bytesWords, formatNumber, plain, spanWords, zoneName } from '../format';
import { feedRate, link, refill } from '../live';
import { model } from '../model';
import { Empty, usePoll } from '../ui';

const POLL_MS = 2000;

interface Counter {
    name: string;
    value: string | number | boolean | null;
}

/** Nested objects become dotted names: new counters of the hub show without a new page. */
function flatten(value: unknown, name: string, out: Counter[]): void {
    if (typeof value === 'object' && value !== null) {
        for (const [key, part] of Object.entries(value)) {
            flatten(part, name ? `${name}.${key}` : key, out);
        }
    } else {
        out.push({ name, value: value as Counter['value'] });
    }
}

function words(c: Counter): string {
    if (typeof c.value !== 'number') {
        return plain(String(c.value ?? '–'));
    }
    if (/uptime_s$|_s$/.test(c.name)) {
        return spanWords(c.value * 1000);
    }
    return /bytes/.test(c.name) ? bytesWords(c.value) : formatNumber(c.value, Number.isInteger(c.value) ? 0 : 2);
}

interface Sample {
    atMs: number;
    counters: Counter[];
}

function rateOf(c: Counter, now: Sample, before: Sample | undefined): string {
    const old = before?.counters.find((o) => o.name === c.name)?.value;
    if (typeof c.value !== 'number' || typeof old !== 'number' || c.value <= old || /uptime|_s$/.test(c.name)) {
        return '';
    }
    return `${formatNumber((c.value - old) / ((now.atMs - before!.atMs) / 1000), 1)}/s`;
}

/** `mqtt.connections` belongs to mqtt. What has no group stands among the facts already. */
function groupsOf(counters: readonly Counter[]): [string, Counter[]][] {
    const groups = new Map<string, Counter[]>();
    for (const c of counters) {
        const at = c.name.indexOf('.');
        if (at > 0) {
            const group = c.name.slice(0, at);
            groups.set(group, [...(groups.get(group) ?? []), c]);
        }
    }
    return [...groups];
}

function Group(props: { name: string; counters: Counter[]; now: Sample; before: Sample | undefined }) {
    const short = (name: string) => plain(name.slice(props.name.length + 1).replaceAll('_', ' ').replaceAll('.', ' · '));
    return (
        <table class="counters">
            <caption>{plain(props.name)}</caption>
            <tbody>
                {props.counters.map((c) => (
                    <tr key={c.name}>
                        <th scope="row">{short(c.name)}</th>
                        <td class="number">{rateOf(c, props.now, props.before)}</td>
                        <td class="number">{words(c)}</td>
                    </tr>
                ))}
            </tbody>
        </table>
    );
}

function Fact({ label, value }: { label: string; value: string }) {
    return (
        <div class="fact">
            <dt>{label}</dt>
            <dd>{value}</dd>
        </div>
    );
}

export function System() {
    const health = useSignal<Record<string, unknown>>({});
    const trouble = useSignal('');
    const now = useSignal<Sample | undefined>(undefined);
    const before = useSignal<Sample | undefined>(undefined);
    const load = async () => {
        try {
            const [h, s] = await Promise.all([api.health(), api.system()]);
            const counters: Counter[] = [];
            flatten(s, '', counters);
            health.value = h;
            before.value = now.value;
            now.value = { atMs: performance.now(), counters };
            trouble.value = '';
        } catch (e) {
            trouble.value = (e as Error).message;
        }
    };
    usePoll(() => !model.paused.value && load(), POLL_MS, [refill.value]);
    if (!now.value) {
        return <Empty title={trouble.value ? 'The hub cannot be asked' : 'Asking the hub'}>{trouble.value && <p>{trouble.value}</p>}</Empty>;
    }
    const counter = (name: string) => now.value?.counters.find((c) => c.name === name);
    const numberOf = (name: string) => (counter(name) ? words(counter(name)!) : '–');
    const published = counter('hub.published');
    const rate = published ? rateOf(published, now.value, before.value) : '';
    const well = !trouble.value && health.value.status === 'ok';
    return (
        <>
            <div class="bar">
                <h1>System</h1>
                <p class="summary">{well ? 'The hub is well.' : <span class="flag">{trouble.value || plain(String(health.value.reason ?? health.value.status))}</span>}</p>
            </div>
            <dl class="facts">
                <Fact label="Health" value={well ? 'ok' : 'not ok'} />
                <Fact label="Up for" value={spanWords(Number(health.value.uptime_s ?? 0) * 1000)} />
                <Fact label="Devices connected" value={numberOf('mqtt.connections')} />
                <Fact label="Messages" value={rate ? `${rate} in` : 'none now'} />
                <Fact label="Version" value={plain(String(health.value.version ?? '–'))} />
                <Fact label="This page" value={link.value === 'live' ? `live, ${feedRate.value} values/s` : 'not connected'} />
                <Fact label="Times in" value={zoneName()} />
            </dl>
            <div class="groups">
                {groupsOf(now.value.counters).map(([group, counters]) => (
                    <Group key={group} name={group} counters={counters} now={now.value!} before={before.value} />
                ))}
            </div>
            <p class="hint">
                For Prometheus: <a href="/metrics">/metrics</a> · for scripts: <a href="/api/v1/system">/api/v1/system</a>
            </p>
        </>
    );
}
