// Explore: SQL over the history, read-only and bounded by the hub.
import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { api, type QueryAnswer } from '../api';
import { formatNumber, plain } from '../format';
import type { Value } from '../frame';
import { route, setParam } from '../route';

const ROWS_SHOWN = 500;

const EXAMPLES: [title: string, sql: string][] = [
    ['All streams', 'SELECT stream, field FROM streams ORDER BY stream, field'],
    ['Latest points', 'SELECT time, stream, field, value\nFROM points ORDER BY ts DESC LIMIT 50'],
    [
        'Mean a minute',
        "SELECT strftime('%H:%M', time_bucket('1m', ts) / 1000000000, 'unixepoch') AS minute, stream,\n" +
            '  round(avg(value), 2) AS mean, min(value) AS least, max(value) AS most\n' +
            "FROM points WHERE field = 'value'\n" +
            'GROUP BY 1, 2 ORDER BY 1 DESC, 2 LIMIT 60',
    ],
];

const sql = signal(EXAMPLES[0]![1]);
const answer = signal<(QueryAnswer & { tookMs: number }) | undefined>(undefined);
const trouble = signal('');
const running = signal(false);
let stop: AbortController | undefined;

async function run(): Promise<void> {
    stop?.abort();
    const mine = (stop = new AbortController());
    running.value = true;
    if (sql.value !== EXAMPLES[0]![1]) {
        setParam('sql', sql.value);
    }
    const from = performance.now();
    try {
        const got = await api.query(sql.value, mine.signal);
        answer.value = { ...got, tookMs: performance.now() - from };
        trouble.value = '';
    } catch (e) {
        if (!mine.signal.aborted) {
            trouble.value = (e as Error).message;
        }
    } finally {
        if (stop === mine) {
            running.value = false;
        }
    }
}

function csvField(v: Value): string {
    const text = v === null ? '' : String(v);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function download(result: QueryAnswer): void {
    const lines = [result.columns, ...result.rows].map((row) => row.map(csvField).join(','));
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([lines.join('\r\n') + '\r\n'], { type: 'text/csv' }));
    link.download = 'tandem.csv';
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

function cell(v: Value): string {
    return typeof v === 'number' ? (Number.isInteger(v) ? String(v) : formatNumber(v, 3)) : v === null ? '–' : plain(String(v), 400);
}

function Result({ result }: { result: QueryAnswer & { tookMs: number } }) {
    const rows = result.rows.slice(0, ROWS_SHOWN);
    return (
        <section aria-label="Result">
            <p class="summary" role="status">
                {result.rows.length} {result.rows.length === 1 ? 'row' : 'rows'} in {Math.round(result.tookMs)} ms
                {result.rows.length > ROWS_SHOWN && `, the first ${ROWS_SHOWN} shown`}
                {' · '}
                <button type="button" class="link" onClick={() => download(result)}>
                    Download CSV
                </button>
            </p>
            <div class="scroll" tabIndex={0} role="region" aria-label="Rows">
                <table>
                    <thead>
                        <tr>
                            {result.columns.map((c) => (
                                <th scope="col" key={c}>
                                    {plain(c)}
                                </th>
                            ))}
                        </tr>
                    </thead>
                    <tbody>
                        {rows.map((row, i) => (
                            <tr key={i}>
                                {row.map((v, j) => (
                                    <td key={j} class={typeof v === 'number' ? 'number' : ''}>
                                        <bdi>{cell(v)}</bdi>
                                    </td>
                                ))}
                            </tr>
                        ))}
                    </tbody>
                </table>
            </div>
        </section>
    );
}

export function Explore() {
    useEffect(() => {
        const given = route.value.params.get('sql');
        if (given && given !== sql.value) {
            sql.value = given; // shown, not run: a link from elsewhere must not start work
        } else if (!given && !answer.value) {
            void run();
        }
    }, []);
    const onKeyDown = (e: KeyboardEvent) => {
        if (e.key === 'Enter' && (e.ctrlKey || e.metaKey)) {
            e.preventDefault();
            void run();
        }
    };
    return (
        <>
            <div class="bar">
                <h1>Explore</h1>
                <p class="summary">SQL over the history; it can read, not change.</p>
            </div>
            <form
                class="query"
                onSubmit={(e) => {
                    e.preventDefault();
                    void run();
                }}
            >
                <textarea
                    aria-label="SQL"
                    spellcheck={false}
                    rows={5}
                    value={sql.value}
                    onInput={(e) => (sql.value = e.currentTarget.value)}
                    onKeyDown={onKeyDown}
                />
                <div class="query-foot">
                    <button type="submit" class="primary" aria-busy={running.value}>
                        {running.value ? 'Running …' : 'Run'}
                    </button>
                    <span class="hint">Ctrl + Enter</span>
                    <span class="examples">
                        {EXAMPLES.map(([title, text]) => (
                            <button
                                type="button"
                                class="quiet"
                                key={title}
                                onClick={() => {
                                    sql.value = text;
                                    void run();
                                }}
                            >
                                {title}
                            </button>
                        ))}
                    </span>
                </div>
            </form>
            {trouble.value && (
                <p class="trouble" role="alert">
                    {plain(trouble.value, 1000)}
                </p>
            )}
            {!answer.value && !trouble.value && (
                <p class="hint">
                    There are <code>points(stream, ts, field, value, time)</code> and <code>streams(stream, field, series)</code>;{' '}
                    <code>time_bucket('1m', ts)</code> groups by time. <code>ts</code> counts nanoseconds since 1970 (UTC).
                </p>
            )}
            {answer.value && <Result result={answer.value} />}
        </>
    );
}
