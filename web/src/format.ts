// How numbers, ages, times and foreign text look. Pure functions; text goes to the DOM as text.
import type { Type, Value } from './frame';

const THIN = '\u202f'; // narrow no-break space: groups digits without looking like a sign
const DECIMALS_MAX = 3;

// Fields often carry their unit as a suffix (temp_c, power_w); anything else stays without a unit.
const UNITS: Record<string, string> = {
    c: '°C', f: '°F', k: 'K', pct: '%', percent: '%', w: 'W', kw: 'kW', wh: 'Wh', kwh: 'kWh',
    v: 'V', mv: 'mV', a: 'A', ma: 'mA', hz: 'Hz', rpm: 'rpm', s: 's', ms: 'ms', us: 'µs',
    min: 'min', h: 'h', m: 'm', mm: 'mm', cm: 'cm', km: 'km', kmh: 'km/h', mps: 'm/s', g: 'g',
    kg: 'kg', l: 'l', ml: 'ml', lpm: 'l/min', pa: 'Pa', hpa: 'hPa', bar: 'bar', lux: 'lx', lx: 'lx',
    ppm: 'ppm', db: 'dB', dbm: 'dBm', bytes: 'B', kb: 'KB', mb: 'MB', eur: '€', usd: '$', deg: '°',
};

export function unitOf(topic: string, field: string): string {
    const name = field === 'value' ? topic : field;
    const suffix = /_([a-z]+)$/i.exec(name)?.[1]?.toLowerCase();
    return (suffix && UNITS[suffix]) || '';
}

/** How many decimals this number was written with, at most three. */
export function decimalsOf(n: number): number {
    if (Number.isInteger(n)) {
        return 0;
    }
    const written = String(n);
    const dot = written.indexOf('.');
    return dot < 0 || written.includes('e') ? DECIMALS_MAX : Math.min(written.length - dot - 1, DECIMALS_MAX);
}

function grouped(digits: string): string {
    return digits.replace(/\B(?=(\d{3})+(?!\d))/g, THIN);
}

export function formatNumber(n: number, decimals: number): string {
    const size = Math.abs(n);
    if (!Number.isFinite(n)) {
        return String(n);
    }
    if (size >= 1e12 || (size > 0 && size < 0.5 * 10 ** -DECIMALS_MAX)) {
        return n.toExponential(3).replace('-', '\u2212');
    }
    const [whole = '', part] = size.toFixed(size >= 1e5 ? 0 : decimals).split('.');
    return (n < 0 ? '\u2212' : '') + grouped(whole) + (part ? '.' + part : '');
}

/** Text from outside may hold controls and direction overrides: they are shown, never obeyed. */
export function plain(text: string, most = 256): string {
    const cut = text.length > most ? text.slice(0, most) + '…' : text;
    return cut.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, '\ufffd');
}

export function formatValue(value: Value, decimals = DECIMALS_MAX): string {
    switch (typeof value) {
        case 'number':
            return formatNumber(value, decimals);
        case 'boolean':
            return value ? 'yes' : 'no'; // the name is the question: `window open`, `heater on`
        case 'string':
            return value === '' ? '(empty)' : plain(value);
        default:
            return '–';
    }
}

export function typeWord(type: Type): string {
    return type === 'none' ? '' : type;
}

const STEPS: [limitMs: number, unitMs: number, word: string][] = [
    [60_000, 1000, 's'],
    [3_600_000, 60_000, 'min'],
    [172_800_000, 3_600_000, 'h'],
    [Infinity, 86_400_000, 'days'],
];

/** A span in the largest unit that fits: `12 s`, `3 min`, `5 h`, `4 days`. */
export function spanWords(ms: number): string {
    for (const [limit, unit, word] of STEPS) {
        if (ms < limit) {
            return `${Math.max(0, Math.floor(ms / unit))}\u00a0${word}`;
        }
    }
    return '';
}

/** An age; below two seconds a value is simply current. */
export function ageWords(ms: number): string {
    return ms < 2000 ? 'now' : `${spanWords(ms)} ago`;
}

const two = (n: number) => String(n).padStart(2, '0');

export function clockTime(ms: number): string {
    const d = new Date(ms);
    return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

export function dateTime(ms: number): string {
    const d = new Date(ms);
    return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${clockTime(ms)}`;
}

/** The clock alone for today, else with the date. */
export function shortTime(ms: number, nowMs: number): string {
    return new Date(ms).toDateString() === new Date(nowMs).toDateString() ? clockTime(ms) : dateTime(ms);
}

/** The one time zone of the page, named. */
export function zoneName(): string {
    const minutes = -new Date().getTimezoneOffset();
    const sign = minutes < 0 ? '\u2212' : '+';
    const size = Math.abs(minutes);
    const offset = `UTC${sign}${Math.floor(size / 60)}${size % 60 ? ':' + two(size % 60) : ''}`;
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    return minutes === 0 && /^(UTC|Etc\/)/.test(zone) ? 'UTC' : `${zone}, ${offset}`;
}

export function bytesWords(n: number): string {
    const units = ['B', 'KB', 'MB', 'GB', 'TB'];
    let i = 0;
    for (; n >= 1024 && i < units.length - 1; i++) {
        n /= 1024;
    }
    return `${n.toFixed(i === 0 || n >= 100 ? 0 : 1)}\u00a0${units[i]}`;
}
