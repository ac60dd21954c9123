// What changed: rules that acted, newest first.
import { useComputed } from '@preact/signals';
import { shortTime } from '../format';
import { hubNow } from '../live';
import { model, type HubEvent } from '../model';
import { href } from '../route';
import { Foreign } from '../ui';

function Change({ event }: { event: HubEvent }) {
    const time = useComputed(() => shortTime(event.timeMs, hubNow.value));
    return (
        <li>
            <time dateTime={new Date(event.timeMs).toISOString()}>{time}</time>
            <span>
                <a href={href('decisions', event.rule)}>
                    <Foreign text={event.rule || 'hub'} most={60} />
                </a>{' '}
                <Foreign text={event.key} most={60} />
            </span>
            <span class="what">
                <Foreign text={event.text || 'fired'} most={160} />
            </span>
        </li>
    );
}

export function Changes() {
    const events = model.events.value.slice(0, 40);
    return (
        <aside class="changes" aria-label="What changed">
            <h2>What changed</h2>
            {events.length === 0 ? (
                <p class="hint">Nothing yet. When a rule acts, it is written here.</p>
            ) : (
                <ol>
                    {events.map((e) => (
                        <Change key={e.id} event={e} />
                    ))}
                </ol>
            )}
        </aside>
    );
}
