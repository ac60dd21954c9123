// The columns behind sparklines and charts.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { History } from '../src/history';
import { Spark, SPARK_COLUMNS, SPARK_STEP_MS } from '../src/spark';

const T = 1_000 * SPARK_STEP_MS;
const at = (spark: Spark, column: number) => [spark.min, spark.last, spark.max].map((a) => a![column % SPARK_COLUMNS]);

test('a column keeps least, last and most', () => {
    const spark = new Spark();
    [5, 9, 1, 4].forEach((v, i) => spark.add(T + i, v));
    assert.deepEqual(at(spark, 1000), [1, 4, 9]);
});

test('columns without a reading are empty, and old ones make room', () => {
    const spark = new Spark();
    spark.add(T, 1);
    spark.add(T + 2 * SPARK_STEP_MS, 2);
    assert(Number.isNaN(at(spark, 1001)[1]));
    assert.equal(at(spark, 1000)[1], 1);
    spark.add(T + SPARK_COLUMNS * SPARK_STEP_MS, 3);
    assert.equal(at(spark, 1000 + SPARK_COLUMNS)[1], 3);
    assert.equal([...spark.last].filter((v) => !Number.isNaN(v)).length, 2);
});

test('a leap of hours leaves one column', () => {
    const spark = new Spark();
    spark.add(T, 1);
    spark.add(T + 3_600_000, 2);
    assert.deepEqual([...spark.last].filter((v) => !Number.isNaN(v)), [2]);
});

test('history fills what is empty and leaves what came live', () => {
    const spark = new Spark();
    spark.add(T, 7);
    spark.fill([T - SPARK_STEP_MS, T, T + 10], [3, 100, 100]);
    assert.equal(at(spark, 999)[1], 3);
    assert.deepEqual(at(spark, 1000), [7, 7, 7]);
});

test('a chart has one point per column with its band, and a gap where nothing was said', () => {
    const history = new History(100_000, 100, 'float'); // columns of 1 s
    const t = [0, 300, 600, 1000, 2000, 3000, 60_000];
    history.fill(t.map((ms) => ms + 1_000_000), [1, 9, 2, 3, 3, 3, 4]);
    const [time, last, min, max] = history.chart(1_061_000);
    assert.deepEqual(time.map((s) => s * 1000 - 1_000_000), [600, 1000, 2000, 3000, 3001, 60_000]);
    assert.deepEqual(last, [2, 3, 3, 3, null, 4]);
    assert.deepEqual([min[0], max[0]], [1, 9]);
});

test('a count holds until now, and the span is cut with one column to draw from', () => {
    const history = new History(10_000, 10, 'int');
    history.fill([0, 1000, 15_000], [5, 6, 7]);
    const [time, last] = history.chart(20_000);
    assert.deepEqual(time, [1, 15, 20]);
    assert.deepEqual(last, [6, 7, 7]);
});

test('states are kept where they change', () => {
    const history = new History(10_000, 10, 'text');
    history.fill([0, 1, 2, 3], ['a', 'a', 'b', 'b']);
    history.add(4, 'a');
    assert.deepEqual(history.states(5), [
        { fromMs: 0, value: 'a' },
        { fromMs: 2, value: 'b' },
        { fromMs: 4, value: 'a' },
    ]);
});
