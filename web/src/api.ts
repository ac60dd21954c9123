// The hub's HTTP doors. Every failure becomes an ApiError whose text a person can act on.
import type { Type, Value } from './frame';

export interface ThingAnswer {
    thing: string;
    online: boolean;
    series: {
        id: number;
        topic: string;
        field: string;
        type: Type;
        value: Value;
        time: string | null;
        age_ms: number;
        quality: string;
    }[];
}

export interface SeriesAnswer {
    t: number[];
    v: Value[];
}

export interface RuleAnswer {
    name: string;
    kind: string;
    file?: string | null;
    line?: number;
    text?: string | null;
    fired?: number;
    last_fired?: string | null;
    last_action?: string | null;
    state?: string | null; // "key: what it is in; key: ..", or without keys
    refused?: number;
}

export interface QueryAnswer {
    columns: string[];
    rows: Value[][];
    truncated?: boolean;
}

export class ApiError extends Error {}

/** RFC 9457 problem, or whatever the hub said instead. */
async function explain(answer: Response): Promise<string> {
    const body = await answer.text();
    try {
        const problem = JSON.parse(body) as { title?: string; detail?: string };
        return [problem.title, problem.detail].filter(Boolean).join(': ') || body;
    } catch {
        return body.slice(0, 500) || `the hub answered ${answer.status}`;
    }
}

async function call<T>(path: string, init: RequestInit = {}): Promise<T> {
    let answer: Response;
    try {
        answer = await fetch(path, { ...init, headers: { Accept: 'application/json', ...init.headers } });
    } catch {
        throw new ApiError('the hub does not answer');
    }
    if (!answer.ok) {
        throw new ApiError(await explain(answer));
    }
    return (await answer.json()) as T;
}

export const api = {
    things: () => call<{ things: ThingAnswer[] }>('/api/v1/things'),
    rules: () => call<{ rules: RuleAnswer[] }>('/api/v1/rules'),
    system: () => call<Record<string, unknown>>('/api/v1/system'),
    health: () => call<Record<string, unknown>>('/health'),
    series: (id: number, fromMs: number, toMs: number, px: number, signal?: AbortSignal) =>
        call<SeriesAnswer>(
            `/api/v1/series?id=${id}&from=${Math.round(fromMs)}&to=${Math.round(toMs)}&px=${Math.round(px)}`,
            signal ? { signal } : {},
        ),
    query: (sql: string, signal?: AbortSignal) =>
        call<QueryAnswer>('/api/v1/query', {
            method: 'POST',
            headers: { 'Content-Type': 'application/json' },
            body: JSON.stringify({ sql }),
            ...(signal ? { signal } : {}),
        }),
};
