// How numbers, ages and foreign text look.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ageWords, decimalsOf, formatNumber, formatValue, plain, spanWords, unitOf } from '../src/format';

test('numbers keep their decimals, group their digits, and use a true minus', () => {
    const cases: [number, number, string][] = [
        [0, 0, '0'],
        [12, 0, '12'],
        [-3.5, 1, '\u22123.5'],
        [1234567, 0, '1\u202f234\u202f567'],
        [20.40000001, 2, '20.40'],
        [0.00001, 3, '1.000e\u22125'],
        [1e300, 3, '1.000e+300'],
        [Infinity, 0, 'Infinity'],
    ];
    for (const [n, decimals, want] of cases) {
        assert.equal(formatNumber(n, decimals), want);
    }
});

test('decimals are those the number was written with, at most three', () => {
    assert.deepEqual([5, 20.4, 1.25, 0.123456, 1e-7].map(decimalsOf), [0, 1, 2, 3, 3]);
});

test('values without content are said in words', () => {
    assert.deepEqual([true, false, '', null].map((v) => formatValue(v)), ['yes', 'no', '(empty)', '–']);
});

test('controls and direction overrides are shown, not obeyed; long text is cut', () => {
    assert.equal(plain('a\u202egnp\u0000.exe\n'), 'a\ufffdgnp\ufffd.exe\ufffd');
    assert.equal(plain('x'.repeat(300), 10), 'xxxxxxxxxx…');
});

test('ages and spans come in the largest unit that fits', () => {
    assert.equal(ageWords(0), 'now');
    assert.equal(ageWords(-500), 'now');
    assert.equal(ageWords(12_300), '12\u00a0s ago');
    assert.equal(spanWords(61_000), '1\u00a0min');
    assert.equal(spanWords(3 * 3_600_000), '3\u00a0h');
    assert.equal(spanWords(5 * 86_400_000), '5\u00a0days');
});

test('a unit is read from the end of a name', () => {
    assert.equal(unitOf('room/1', 'temp_c'), '°C');
    assert.equal(unitOf('meter/power_kw', 'value'), 'kW');
    assert.equal(unitOf('room/1', 'stock'), '');
});
