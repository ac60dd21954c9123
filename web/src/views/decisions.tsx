// Decisions: the rules as they are written, when each last acted and what it did; the actuators with
// their value and who won it.
import { signal, useComputed } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { api, type RuleAnswer } from '../api';
import { ageWords, formatValue, shortTime } from '../format';
import { hubNow, link, refill } from '../live';
import { model } from '../model';
import { route } from '../route';
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
        model.event(Date.parse(r.last_fired!), r.name, r.last_action ?? '');
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

function Rule({ rule, chosen }: { rule: RuleAnswer; chosen: boolean }) {
    const where = rule.file ? `${rule.file}${rule.line ? ':' + rule.line : ''}` : '';
    return (
        <article class={chosen ? 'rule chosen' : 'rule'} id={`rule-${rule.name}`}>
            <header>
                <h2>
                    <Foreign text={rule.name} most={80} />
                </h2>
                {rule.state && (
                    <span class="state">
                        <Foreign text={rule.state} most={40} />
                    </span>
                )}
                <span class="note">
                    <Foreign text={where} most={60} />
                </span>
            </header>
            {rule.text && <RuleText text={rule.text} label={`Text of ${rule.name}`} />}
            <dl>
                <div>
                    <dt>Fired</dt>
                    <dd>{rule.fired ?? 0}×</dd>
                </div>
                <div>
                    <dt>Last</dt>
                    <dd>
                        <LastFired rule={rule} />
                    </dd>
                </div>
                <div class="wide">
                    <dt>Did</dt>
                    <dd>{rule.last_action ? <Foreign text={rule.last_action} most={300} /> : 'nothing yet'}</dd>
                </div>
            </dl>
        </article>
    );
}

function Actuator({ actuator }: { actuator: RuleAnswer }) {
    const value = actuator.value ?? actuator.state ?? null;
    return (
        <article class="actuator" id={`rule-${actuator.name}`}>
            <h3>
                <Foreign text={actuator.name} most={80} />
            </h3>
            <p class="big">
                <bdi>{formatValue(value)}</bdi>
            </p>
            <p class="note">{actuator.winner ? <>held by <Foreign text={actuator.winner} most={60} /></> : 'nobody holds it'}</p>
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
                {actuators.length > 0 && (
                    <section class="actuators" aria-label="Actuators">
                        {actuators.map((a) => (
                            <Actuator key={a.name} actuator={a} />
                        ))}
                    </section>
                )}
                <div class="rules">
                    {others.map((r) => (
                        <Rule key={r.name} rule={r} chosen={r.name === chosen} />
                    ))}
                </div>
            </div>
            <Changes />
        </div>
    );
}
