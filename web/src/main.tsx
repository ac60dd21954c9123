// The page's frame: header, navigation, the view that the address asks for, and its shortcuts.
import { effect, signal, useComputed, useSignal } from '@preact/signals';
import { render, type FunctionComponent } from 'preact';
import { useEffect } from 'preact/hooks';
import { spanWords, zoneName } from './format';
import { hubNow, link, lostSinceMs, start } from './live';
import { model } from './model';
import { href, route } from './route';
import './style.css';
import { setTheme, theme, type Theme } from './theme';
import { Icon, type IconName } from './ui';
import { Decisions, seedChanges } from './views/decisions';
import { Explore } from './views/explore';
import { Now } from './views/now';
import { System } from './views/system';

// The charts' code comes right after the first picture, before anybody can ask for it.
const machineView = signal<FunctionComponent | undefined>(undefined);
const loadMachine = () =>
    import('./views/machine').then(
        (m) => (machineView.value = m.Machine),
        () => setTimeout(loadMachine, 2000), // the hub went away meanwhile
    );

function LaterMachine() {
    const View = machineView.value;
    return View ? <View /> : null;
}

const VIEWS: Record<string, FunctionComponent> = {
    now: Now,
    machine: LaterMachine,
    decisions: Decisions,
    explore: Explore,
    system: System,
};

const TABS: [view: IconName & string, label: string][] = [
    ['now', 'Now'],
    ['decisions', 'Decisions'],
    ['explore', 'Explore'],
    ['system', 'System'],
];

function Mark() {
    return (
        <svg class="mark" viewBox="0 0 32 20" aria-hidden="true">
            <circle cx="10" cy="10" r="7.5" />
            <circle cx="22" cy="10" r="7.5" />
        </svg>
    );
}

function Tabs() {
    const current = route.value.view === 'machine' ? 'now' : route.value.view;
    return (
        <nav class="tabs" aria-label="Views">
            {TABS.map(([view, label]) => (
                <a key={view} href={href(view)} aria-current={view === current ? 'page' : undefined}>
                    <Icon name={view} />
                    <span>{label}</span>
                </a>
            ))}
        </nav>
    );
}

function Link() {
    const words = useComputed(() => {
        if (model.paused.value) {
            return model.waiting.value ? `Paused, ${model.waiting.value} waiting` : 'Paused';
        }
        return { opening: 'Connecting', live: 'Live', lost: 'Hub away' }[link.value];
    });
    return (
        <span class={`link-state ${model.paused.value ? 'paused' : link.value}`}>
            <i aria-hidden="true" />
            <span>{words}</span>
        </span>
    );
}

const NEXT_THEME: Record<Theme, Theme> = { auto: 'light', light: 'dark', dark: 'auto' };
const THEME_ICON: Record<Theme, IconName> = { auto: 'auto', light: 'sun', dark: 'moon' };

function Buttons() {
    const paused = model.paused.value;
    return (
        <div class="buttons">
            <Link />
            <button type="button" class="round" aria-pressed={paused} title="Pause updates (p)" aria-label="Pause updates" onClick={() => model.setPaused(!paused)}>
                <Icon name={paused ? 'play' : 'pause'} />
            </button>
            <button type="button" class="round" title={`Colours: ${theme.value}`} aria-label={`Colours: ${theme.value}. Change`} onClick={() => setTheme(NEXT_THEME[theme.value])}>
                <Icon name={THEME_ICON[theme.value]} />
            </button>
        </div>
    );
}

function Away() {
    if (link.value !== 'lost') {
        return null;
    }
    return (
        <div class="away">
            <strong>The hub does not answer</strong>
            <span>
                for {spanWords(Math.max(0, hubNow.value && Date.now() - lostSinceMs.value))}. Values are the last known. The page
                reconnects by itself.
            </span>
        </div>
    );
}

/** One sentence for screen readers, at most once a second: the link, and what rules did. */
function Spoken() {
    const words = useSignal('');
    useEffect(() => {
        let last = '';
        const timer = setInterval(() => {
            const event = model.events.value[0];
            const now = link.value === 'lost' ? 'The hub does not answer.' : event ? `${event.rule} ${event.key}: ${event.text}` : '';
            if (now !== last) {
                last = words.value = now;
            }
        }, 1000);
        return () => clearInterval(timer);
    }, []);
    return (
        <p class="unseen" aria-live="polite">
            {words}
        </p>
    );
}

function Page() {
    const View = VIEWS[route.value.view] ?? Now;
    return (
        <>
            <a class="skip" href="#main" onClick={(e) => (e.preventDefault(), document.getElementById('main')?.focus())}>
                Skip to the values
            </a>
            <header class="top">
                <a class="brand" href={href('now')}>
                    <Mark />
                    Tandem
                </a>
                <Tabs />
                <Buttons />
            </header>
            <Away />
            <main id="main" tabIndex={-1}>
                <View />
            </main>
            <footer class="foot">
                <span>Times in {zoneName()}</span>
                <span>
                    Keys: <kbd>/</kbd> filter, <kbd>p</kbd> pause, arrows walk the tiles
                </span>
            </footer>
            <Spoken />
        </>
    );
}

/** Shortcuts stay out of the way of typing and of the browser's own. */
function shortcut(e: KeyboardEvent): void {
    const typing = (e.target as HTMLElement).closest?.('input, textarea, select');
    if (typing || e.ctrlKey || e.metaKey || e.altKey) {
        return;
    }
    if (e.key === '/') {
        const filter = document.getElementById('filter');
        if (filter) {
            e.preventDefault();
            filter.focus();
        }
    } else if (e.key === 'p') {
        model.setPaused(!model.paused.value);
    }
}

const TITLES: Record<string, string> = { decisions: 'Decisions', explore: 'Explore', system: 'System', now: 'Now' };
effect(() => {
    const { view, arg } = route.value;
    document.title = `${view === 'machine' ? arg.slice(0, 80) : (TITLES[view] ?? 'Now')} · Tandem`;
});
// A new view starts at its top, except where the address names a place in it.
let shownView = '';
effect(() => {
    const { view, arg } = route.value;
    if (shownView !== view + arg) {
        shownView = view + arg;
        scrollTo(0, 0);
    }
});

addEventListener('keydown', shortcut);
render(<Page />, document.getElementById('page')!);
start();
void seedChanges();
setTimeout(loadMachine, 0);
