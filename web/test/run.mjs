// Runs test/*.test.ts with node's test runner: Node 18 reads no TypeScript, so esbuild (which comes
// with Vite) translates the tests and what they test first. `node test/run.mjs [OUTPUT FOLDER]`
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

// Without the packages (the page was not built) there is nothing to test: 77 means skipped.
const { build } = await import('esbuild').catch(() => process.exit(77));
const here = path.dirname(fileURLToPath(import.meta.url));
const out = path.resolve(process.argv[2] ?? path.join(here, '..', '..', 'build', 'web', 'test'));
const tests = fs.readdirSync(here).filter((f) => f.endsWith('.test.ts'));
await build({
    entryPoints: tests.map((f) => path.join(here, f)),
    outdir: out,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    platform: 'node',
    format: 'esm',
    sourcemap: 'inline',
    logLevel: 'warning',
});
execFileSync(process.execPath, ['--test', ...tests.map((f) => path.join(out, f.replace(/\.ts$/, '.mjs')))], {
    stdio: 'inherit',
});
