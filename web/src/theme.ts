// Light, dark, or as the system says. The choice is this browser's; without storage it lasts a visit.
import { signal } from '@preact/signals';

export type Theme = 'auto' | 'light' | 'dark';
const KEY = 'tandem.theme';

function stored(): Theme {
    try {
        const theme = localStorage.getItem(KEY);
        return theme === 'light' || theme === 'dark' ? theme : 'auto';
    } catch {
        return 'auto';
    }
}

const dark = matchMedia('(prefers-color-scheme: dark)');
export const theme = signal<Theme>(stored());
export const painted = signal(0); // counts changes of colour: canvases repaint themselves

function apply(): void {
    const isDark = theme.value === 'dark' || (theme.value === 'auto' && dark.matches);
    document.documentElement.dataset.theme = isDark ? 'dark' : 'light';
    painted.value++;
}

export function setTheme(next: Theme): void {
    theme.value = next;
    try {
        localStorage.setItem(KEY, next);
    } catch {
        // Private windows may forbid it.
    }
    apply();
}

dark.addEventListener('change', apply);
apply();
