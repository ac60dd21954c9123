// All sparklines of a wall on one canvas: a canvas per tile costs ten times the main thread.
//
// The canvas lies over the tiles, lets clicks through, and is as wide as the wall but only two
// windows high: it scrolls with the page and is moved and redrawn when its edge comes near. Cells
// are measured when the layout changes, and only cells with news are repainted, ten times a second.
// The picture is for sighted users only; the table view says the same in text.
import type { Series } from './model';
import { SPARK_COLUMNS, SPARK_SHADES, SPARK_STEP_MS } from './spark';

const PAINT_EVERY_MS = 100;

interface Cell {
    readonly slot: HTMLElement;
    readonly series: Series;
    x: number;
    y: number;
    w: number;
    h: number;
    stale: boolean;
}

interface Ink {
    line: string;
    band: string;
    end: string;
}

export class SparkLayer {
    private readonly cells = new Map<HTMLElement, Cell>();
    private readonly bySeries = new Map<Series, Set<Cell>>();
    private readonly dirty = new Set<Cell>();
    private readonly context: CanvasRenderingContext2D;
    private readonly resized: ResizeObserver;
    private readonly seen: IntersectionObserver;
    private readonly timer: ReturnType<typeof setInterval>;
    private ink: Ink = { line: '#777', band: '#ccc', end: '#333' };
    private top = 0; // of the canvas within the wall
    private height = 0;
    private measured = false;
    private scale = 1;
    private column = 0;

    constructor(
        private readonly wall: HTMLElement,
        private readonly canvas: HTMLCanvasElement,
        private readonly nowMs: () => number,
        private readonly onSight: (series: Series, isInSight: boolean | undefined) => void, // undefined: gone
    ) {
        this.context = canvas.getContext('2d')!;
        this.resized = new ResizeObserver(() => this.relayout());
        this.resized.observe(wall);
        // As far as the canvas may reach: what is scrolled to is there already.
        this.seen = new IntersectionObserver((entries) => this.sighted(entries), { rootMargin: '60% 0px' });
        this.timer = setInterval(() => requestAnimationFrame(() => this.paint()), PAINT_EVERY_MS);
        addEventListener('scroll', this.scrolled, { passive: true });
        this.recolour();
    }

    close(): void {
        clearInterval(this.timer);
        removeEventListener('scroll', this.scrolled);
        this.resized.disconnect();
        this.seen.disconnect();
        [...this.cells.keys()].forEach((slot) => this.remove(slot));
    }

    add(slot: HTMLElement, series: Series): void {
        const cell = { slot, series, x: 0, y: 0, w: 0, h: 0, stale: false };
        this.cells.set(slot, cell);
        const set = this.bySeries.get(series) ?? new Set();
        this.bySeries.set(series, set.add(cell));
        this.seen.observe(slot);
        this.measured = false;
    }

    remove(slot: HTMLElement): void {
        const cell = this.cells.get(slot);
        if (cell) {
            this.cells.delete(slot);
            this.dirty.delete(cell);
            this.bySeries.get(cell.series)?.delete(cell);
            this.seen.unobserve(slot);
            this.onSight(cell.series, undefined);
            this.measured = false;
        }
    }

    news(changed: ReadonlySet<Series>): void {
        for (const series of changed) {
            for (const cell of this.bySeries.get(series) ?? []) {
                this.dirty.add(cell);
            }
        }
    }

    relayout(): void {
        this.measured = false;
    }

    recolour(): void {
        const style = getComputedStyle(this.wall);
        const token = (name: string) => style.getPropertyValue(name).trim();
        this.ink = { line: token('--spark-line'), band: token('--spark-band'), end: token('--ink') };
        this.redrawAll();
    }

    redrawAll(): void {
        this.cells.forEach((cell) => this.dirty.add(cell));
    }

    private sighted(entries: IntersectionObserverEntry[]): void {
        for (const entry of entries) {
            const cell = this.cells.get(entry.target as HTMLElement);
            if (cell) {
                this.onSight(cell.series, entry.isIntersecting);
            }
        }
    }

    private readonly scrolled = (): void => {
        const view = -this.wall.getBoundingClientRect().top;
        const room = Math.min(this.wall.offsetHeight, view + innerHeight);
        if (Math.max(0, view) < this.top || room > this.top + this.height) {
            this.relayout();
        }
    };

    /** Places the canvas around what is in view and measures every cell. */
    private measure(): void {
        this.measured = true;
        const wall = this.wall.getBoundingClientRect();
        const wanted = Math.min(wall.height, innerHeight * 2);
        this.top = Math.max(0, Math.min(-wall.top - innerHeight / 2, wall.height - wanted));
        this.height = wanted;
        this.scale = Math.min(devicePixelRatio || 1, 2);
        this.canvas.width = Math.round(wall.width * this.scale);
        this.canvas.height = Math.round(wanted * this.scale);
        const style = this.canvas.style;
        style.width = `${wall.width}px`;
        style.height = `${wanted}px`;
        style.transform = `translateY(${this.top}px)`;
        for (const cell of this.cells.values()) {
            const at = cell.slot.getBoundingClientRect();
            cell.x = at.left - wall.left;
            cell.y = at.top - wall.top - this.top;
            cell.w = at.width;
            cell.h = at.height;
        }
        this.redrawAll();
    }

    private paint(): void {
        const column = Math.floor(this.nowMs() / SPARK_STEP_MS);
        if (!this.measured) {
            this.measure();
        } else if (column !== this.column) {
            this.redrawAll(); // time moved everything one column to the left
        }
        this.column = column;
        const c = this.context;
        c.setTransform(this.scale, 0, 0, this.scale, 0, 0);
        for (const cell of this.dirty) {
            if (cell.y + cell.h >= 0 && cell.y <= this.height && cell.w > 0) {
                c.clearRect(cell.x - 1, cell.y - 1, cell.w + 4, cell.h + 2);
                this.draw(cell);
            }
        }
        this.dirty.clear();
    }

    private draw(cell: Cell): void {
        const { spark, type } = cell.series;
        if (spark.min) {
            spark.advance(this.column);
            if (type === 'bool' || type === 'text') {
                this.drawStrip(cell, type === 'bool');
            } else {
                this.drawLine(cell);
            }
        }
    }

    /** Calls fn(left edge, column's slot) for the columns in view, oldest first. */
    private each(cell: Cell, fn: (x: number, at: number) => void): void {
        const first = cell.series.spark.head - SPARK_COLUMNS + 1;
        for (let i = 0; i < SPARK_COLUMNS; i++) {
            fn(cell.x + (i * cell.w) / SPARK_COLUMNS, (first + i) % SPARK_COLUMNS);
        }
    }

    private drawStrip(cell: Cell, bool: boolean): void {
        const { spark } = cell.series;
        const c = this.context;
        let state = NaN;
        let from = 0;
        const block = (to: number) => {
            if (!Number.isNaN(state) && to > from) {
                const isOff = bool && state === 0;
                const h = isOff ? 3 : 10;
                c.globalAlpha = bool ? 1 : 0.35 + (0.65 * state) / (SPARK_SHADES - 1);
                c.fillStyle = isOff || !bool ? this.ink.band : this.ink.line;
                c.fillRect(from, cell.y + cell.h - 3 - h, to - from, h);
            }
        };
        this.each(cell, (x, at) => {
            const v = spark.last[at]!;
            if (!Number.isNaN(v) && v !== state) {
                block(x - 1);
                state = v;
                from = x;
            }
        });
        block(cell.x + cell.w);
        c.globalAlpha = 1;
    }

    private drawLine(cell: Cell): void {
        const { spark } = cell.series;
        let least = Infinity;
        let most = -Infinity;
        for (let i = 0; i < SPARK_COLUMNS; i++) {
            least = spark.min![i]! < least ? spark.min![i]! : least;
            most = spark.max[i]! > most ? spark.max[i]! : most;
        }
        const span = most - least || 1;
        const flat = most === least;
        const y = (v: number) => cell.y + cell.h - 3 - (flat ? 0.4 : (v - least) / span) * (cell.h - 6);
        const w = cell.w / SPARK_COLUMNS;
        const c = this.context;
        c.fillStyle = this.ink.band;
        c.strokeStyle = this.ink.line;
        c.lineWidth = 1.5;
        c.lineJoin = 'round';
        c.beginPath();
        let lastX = NaN;
        let lastY = NaN;
        this.each(cell, (x, at) => {
            if (Number.isNaN(spark.last[at]!)) {
                return;
            }
            const top = y(spark.max[at]!);
            const low = y(spark.min![at]!);
            if (low - top > 1.5) {
                c.fillRect(x, top, Math.max(w, 1), low - top);
            }
            const px = x + w / 2;
            const py = y(spark.last[at]!);
            if (Number.isNaN(lastX)) {
                c.moveTo(px, py);
            } else {
                if (cell.series.type === 'int' && px - lastX > w * 1.5) {
                    c.lineTo(px - w, lastY); // a count holds until it changes
                }
                c.lineTo(px, py);
            }
            lastX = px;
            lastY = py;
        });
        c.stroke();
        this.drawEnd(cell, lastX, lastY);
    }

    /** From the last reading to now: dotted, since nothing was heard. */
    private drawEnd(cell: Cell, x: number, y: number): void {
        const right = cell.x + cell.w - 1;
        const c = this.context;
        if (Number.isNaN(x)) {
            return;
        }
        if (right - x > 4) {
            c.setLineDash([1.5, 3]);
            c.beginPath();
            c.moveTo(x, y);
            c.lineTo(right, y);
            c.stroke();
            c.setLineDash([]);
        }
        c.fillStyle = this.ink.end;
        c.beginPath();
        c.arc(x, y, 2, 0, 7);
        c.fill();
    }
}
