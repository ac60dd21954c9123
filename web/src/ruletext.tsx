// The rule language, coloured: just enough lexing for the eye. Topics of known things are links.
import type { ComponentChildren } from 'preact';
import { plain } from './format';
import { model, thingOf } from './model';
import { href } from './route';

const TOKEN = /(--[^\n]*|\/\*[\s\S]*?\*\/)|('(?:[^']|'')*'|"(?:[^"]|"")*")|(\b\d+(?:\.\d+)?\s?[a-z%°]*\b)|(\b[A-Z][A-Z_]+\b)/g;
const TEXT_MOST = 8000;

function topicLink(token: string): ComponentChildren {
    const topic = token.slice(1, -1);
    const thing = model.things.value.find((t) => t.name === thingOf(topic) || t.name === topic);
    return thing ? <a href={href('machine', thing.name)}>{token}</a> : token;
}

function tokens(text: string): ComponentChildren[] {
    const parts: ComponentChildren[] = [];
    let at = 0;
    for (const m of text.matchAll(TOKEN)) {
        parts.push(text.slice(at, m.index));
        const [token, comment, quoted, number] = m;
        const look = comment ? 'comment' : quoted ? 'quoted' : number ? 'digits' : 'keyword';
        parts.push(<span class={look}>{quoted ? topicLink(token) : token}</span>);
        at = m.index + token.length;
    }
    parts.push(text.slice(at));
    return parts;
}

export function RuleText({ text, label }: { text: string; label: string }) {
    const lines = text.split('\n').map((line) => plain(line.replaceAll('\t', '    '), 400));
    return (
        <pre class="rule-text" tabIndex={0} role="region" aria-label={label}>
            <code>{tokens(lines.join('\n').slice(0, TEXT_MOST))}</code>
        </pre>
    );
}
