// Decisions: the rules as they are written, when each last acted and what it did; the actuators with
// their value and who won it.
import { signal, useComputed } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { api, type RuleAnswer } from '../api';
import { ageWords, plain, shortTime } from '../format';
import { hubNow, link, refill } from '../live';
import { model } from '../model';
import { href, route } from '../route';
import { RuleText } from '../ruletext';
import { Command, Empty, Foreign, usePoll } from '../ui';
import { Changes } from './changes';

const POLL_MS = 5000;

export const rules = signal<readonly RuleAnswer[] | undefined>(undefined);
const trouble = signal('');

export async function loadRules(): Promise<void> {
    try {
        rules.value = (await api.rules()).rules;
        trouble.value = '';
    } catch (e) {
        trouble.value = (e as Error).message;
    }
}

/** What rules did before this page was opened becomes the start of "what changed". */
export async function seedChanges(): Promise<void> {
    await loadRules();
    const past = (rules.value ?? []).filter((r) => r.last_fired);
    past.sort((a, b) => Date.parse(a.last_fired!) - Date.parse(b.last_fired!));
    for (const r of past) {
        model.event({ timeMs: Date.parse(r.last_fired!), rule: r.name, key: '', text: r.last_action ?? '' });
    }
}

function LastFired({ rule }: { rule: RuleAnswer }) {
    const text = useComputed(() => {
        if (!rule.last_fired) {
            return 'not yet';
        }
        const at = Date.parse(rule.last_fired);
        return `${shortTime(at, hubNow.value)}, ${ageWords(hubNow.value - at)}`;
    });
    return <>{text}</>;
}

interface KeyState {
    key: string;
    text: string;
}

/** `v1, cola: idle; v1, water: fired` */
function statesOf(rule: RuleAnswer): KeyState[] {
    const parts = rule.state ? rule.state.split(/; (?=[^;:]*: )/) : [];
    return parts.map((part) => {
        const at = part.indexOf(': ');
        return at < 0 ? { key: '', text: part } : { key: part.slice(0, at), text: part.slice(at + 2) };
    });
}

function States({ rule }: { rule: RuleAnswer }) {
    if (rule.kind === 'ACTUATOR') {
        return null; // its values stand above, with their winners
    }
    const states = statesOf(rule);
    return states.length === 0 ? null : (
        <ul class="states" aria-label={`State of ${rule.name}`}>
            {states.map((s) => (
                <li key={s.key} class={rule.kind === 'ALARM' && s.text === 'active' ? 'doubt' : 'state'}>
                    {s.key && (
                        <b>
                            <Foreign text={s.key} most={60} />
                        </b>
                    )}{' '}
                    <Foreign text={s.text} most={60} />
                </li>
            ))}
        </ul>
    );
}

function didWords(rule: RuleAnswer) {
    if (rule.last_action) {
        return <Foreign text={rule.last_action} most={300} />;
    }
    return rule.fired ? 'not kept over the restart' : 'nothing yet';
}

function Rule({ rule, chosen }: { rule: RuleAnswer; chosen: boolean }) {
    const where = rule.file ? `${rule.file}${rule.line ? ':' + rule.line : ''}` : '';
    return (
        <article class={chosen ? 'rule chosen' : 'rule'} id={`rule-${rule.name}`}>
            <header>
                <h2>
                    <Foreign text={rule.name} most={80} />
                </h2>
                <span class="kind">{rule.kind.toLowerCase()}</span>
                <span class="note">
                    <Foreign text={where} most={60} />
                </span>
            </header>
            {rule.text && <RuleText text={rule.text} label={`Text of ${rule.name}`} />}
            <States rule={rule} />
            <dl>
                <div>
                    <dt>Fired</dt>
                    <dd>
                        {rule.fired ?? 0}×{rule.refused ? <span class="doubt">{rule.refused} held back</span> : ''}
                    </dd>
                </div>
                <div>
                    <dt>Last</dt>
                    <dd>
                        <LastFired rule={rule} />
                    </dd>
                </div>
                <div class="wide">
                    <dt>Did</dt>
                    <dd>{didWords(rule)}</dd>
                </div>
            </dl>
        </article>
    );
}

/** `on=TRUE (heat, slot 12)` for each field: what holds now, and who won. */
function fieldsOf(text: string): { field: string; value: string; winner: string }[] {
    return [...text.matchAll(/(\S+?)=(.*?) \(([^()]*)\)(?= |$)/g)].map(([, field = '', value = '', winner = '']) => ({
        field,
        value: { TRUE: 'yes', FALSE: 'no' }[value] ?? value.replace(/^'(.*)'$/, '$1'),
        winner,
    }));
}

function Winner({ winner }: { winner: string }) {
    const [name = '', ...slot] = winner.split(', ');
    if (winner === 'default') {
        return <>its default, nobody bids</>;
    }
    return (
        <>
            by{' '}
            <a href={href('decisions', name)}>
                <Foreign text={name} most={60} />
            </a>
            {slot.length > 0 && `, ${plain(slot.join(', '))}`}
        </>
    );
}

function Actuator({ actuator, state }: { actuator: RuleAnswer; state: KeyState }) {
    return (
        <article class="actuator">
            <h3>
                <Foreign text={`${actuator.name} ${state.key}`} most={80} />
            </h3>
            <dl>
                {fieldsOf(state.text).map((f) => (
                    <div key={f.field}>
                        <dt>
                            <Foreign text={f.field} most={40} />
                        </dt>
                        <dd>
                            <strong>
                                <Foreign text={f.value} most={60} />
                            </strong>{' '}
                            <span class="note">
                                <Winner winner={f.winner} />
                            </span>
                        </dd>
                    </div>
                ))}
            </dl>
        </article>
    );
}

function NoRules() {
    return (
        <Empty title="No rules yet">
            <p>A rule says when something is to be done. Write one into a file:</p>
            <pre class="rule-text">
                <code>{"RULE warm\n  WHEN 'room/living'.temp_c > 25\n  SEND 'room/living/window' 'open'"}</code>
            </pre>
            <p>check it, and give it to the hub:</p>
            <Command text="tandem check home.td" />
            <Command text="tandem serve --rules home.td" />
        </Empty>
    );
}

export function Decisions() {
    const newest = model.events.value[0]?.id;
    usePoll(() => !model.paused.value && loadRules(), POLL_MS, [newest, refill.value]);
    const chosen = route.value.arg;
    const list = rules.value;
    useEffect(() => {
        if (chosen) {
            document.getElementById(`rule-${chosen}`)?.scrollIntoView({ block: 'center' });
        }
    }, [chosen, list === undefined]);
    if (!list) {
        return <Empty title={link.value === 'lost' || trouble.value ? 'The rules cannot be read' : 'Reading the rules'}>{trouble.value && <p>{trouble.value}</p>}</Empty>;
    }
    const actuators = list.filter((r) => r.kind === 'ACTUATOR');
    const others = list.filter((r) => r.kind !== 'ACTUATOR');
    const fired = others.reduce((n, r) => n + (r.fired ?? 0), 0);
    return (
        <div class="with-aside">
            <div>
                <div class="bar">
                    <h1>Decisions</h1>
                    <p class="summary">
                        {others.length} {others.length === 1 ? 'rule' : 'rules'} · fired {fired}×
                        {trouble.value && <span class="flag">{trouble.value}</span>}
                    </p>
                </div>
                {list.length === 0 && <NoRules />}
                {actuators.some((a) => a.state) && (
                    <section class="actuators" aria-label="Actuators">
                        {actuators.flatMap((a) =>
                            statesOf(a).map((s) => <Actuator key={`${a.name} ${s.key}`} actuator={a} state={s} />),
                        )}
                    </section>
                )}
                <div class="rules">
                    {list.map((r) => (
                        <Rule key={r.name} rule={r} chosen={r.name === chosen} />
                    ))}
                </div>
            </div>
            <Changes />
        </div>
    );
}
