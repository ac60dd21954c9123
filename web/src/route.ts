// One address per view, all behind `#`, so that every view can be sent to somebody:
//   #/now?q=vend  #/machine/vend%2Fv1?range=1h  #/decisions  #/explore?sql=...  #/system
import { signal } from '@preact/signals';

export interface Route {
    readonly view: string;
    readonly arg: string;
    readonly params: URLSearchParams;
}

function decoded(part: string): string {
    try {
        return decodeURIComponent(part);
    } catch {
        return part; // typed by hand, not ours
    }
}

function parse(hash: string): Route {
    const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?', 2);
    const [view = '', arg = ''] = path.split('/', 2);
    return { view: view || 'now', arg: decoded(arg), params: new URLSearchParams(query) };
}

export const route = signal<Route>(parse(location.hash));

addEventListener('hashchange', () => {
    route.value = parse(location.hash);
});

export function href(view: string, arg = '', params: Record<string, string> = {}): string {
    const query = new URLSearchParams(params).toString();
    return `#/${view}${arg ? '/' + encodeURIComponent(arg) : ''}${query ? '?' + query : ''}`;
}

/** Changes one part of the address without a step in the browser's history. */
export function setParam(name: string, value: string): void {
    const { view, arg, params } = route.value;
    const next = new URLSearchParams(params);
    if (value) {
        next.set(name, value);
    } else {
        next.delete(name);
    }
    history.replaceState(null, '', href(view, arg, Object.fromEntries(next)));
    route.value = parse(location.hash);
}
