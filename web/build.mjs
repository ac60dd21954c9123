// web/build.mjs: from the page's sources to one C file.
//
//   node web/build.mjs --out build/dev/web_files.c [--cache build/web] [--fallback web/fallback.c]
//
// npm ci -> type check -> vite build -> gzip + brotli -> a C table of struct td_web_file.
//
// Every build directory (dev, asan, release ...) asks for its own C file, but npm and Vite must run
// once: the result is kept in --cache under the hash of everything it was made from, and a lock file
// keeps two builds from making it at the same time.
//
// The first page may weigh 60 KB of JS + CSS (brotli); above that the build fails, on purpose.
// --fallback: when the packages cannot be had (no network), say so and take this file instead. A page
// that does not compile or is too heavy always fails.
import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import zlib from 'node:zlib';
import { fileURLToPath } from 'node:url';

const BUDGET_BYTES = 60 * 1024;
const web = path.dirname(fileURLToPath(import.meta.url));

const TYPES = {
    '.html': 'text/html; charset=utf-8',
    '.js': 'text/javascript; charset=utf-8',
    '.css': 'text/css; charset=utf-8',
    '.svg': 'image/svg+xml',
};

function argument(name, otherwise) {
    const at = process.argv.indexOf(name);
    return at < 0 ? otherwise : process.argv[at + 1];
}

function filesUnder(dir) {
    return fs
        .readdirSync(dir, { withFileTypes: true })
        .sort((a, b) => (a.name < b.name ? -1 : 1))
        .flatMap((e) =>
            e.isDirectory() ? filesUnder(path.join(dir, e.name)) : [path.join(dir, e.name)],
        );
}

const short = (hash) => hash.digest('hex').slice(0, 16);

/** What the result depends on: sources, lock file, this script, and Node's major version. */
function inputsHash() {
    const hash = createHash('sha256').update(process.version.split('.')[0]);
    const roots = ['package-lock.json', 'package.json', 'tsconfig.json', 'vite.config.ts'];
    const inputs = [...roots, 'index.html', 'build.mjs'].map((f) => path.join(web, f));
    for (const file of [...inputs, ...filesUnder(path.join(web, 'src'))]) {
        hash.update(path.relative(web, file)).update('\0').update(fs.readFileSync(file));
    }
    return short(hash);
}

function run(program, args, quiet) {
    execFileSync(program, args, { cwd: web, stdio: quiet ? 'pipe' : 'inherit' });
}

/** node_modules is right when it was made from this very lock file. */
function installPackages() {
    const mark = path.join(web, 'node_modules', '.tandem-lock');
    const want = short(createHash('sha256').update(fs.readFileSync(path.join(web, 'package-lock.json'))));
    if (fs.existsSync(mark) && fs.readFileSync(mark, 'utf8') === want) {
        return;
    }
    // The packages' own install scripts are not needed, so none may run.
    run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], true);
    fs.writeFileSync(mark, want);
}

function smaller(packed, plain) {
    return packed.length < plain.length ? packed : null;
}

function packed(dist) {
    return filesUnder(dist).map((file) => {
        const plain = fs.readFileSync(file);
        const type = TYPES[path.extname(file)];
        if (!type) {
            throw new Error(`${file}: no Content-Type known for this ending; add it to TYPES`);
        }
        const name = '/' + path.relative(dist, file).split(path.sep).join('/');
        const brotli = zlib.brotliCompressSync(plain, {
            params: {
                [zlib.constants.BROTLI_PARAM_QUALITY]: 11,
                [zlib.constants.BROTLI_PARAM_MODE]: zlib.constants.BROTLI_MODE_TEXT,
                [zlib.constants.BROTLI_PARAM_SIZE_HINT]: plain.length,
            },
        });
        return {
            path: name === '/index.html' ? '/' : name,
            type,
            etag: short(createHash('sha256').update(plain)),
            immutable: name.startsWith('/assets/'),
            plain,
            gzip: smaller(zlib.gzipSync(plain, { level: 9 }), plain),
            brotli: smaller(brotli, plain),
        };
    });
}

function weigh(files) {
    const counted = files.filter((f) => /\.(js|css)$/.test(f.path));
    const weight = counted.reduce((sum, f) => sum + (f.brotli ?? f.plain).length, 0);
    const kb = (n) => (n / 1024).toFixed(1);
    for (const f of counted) {
        console.log(`web: ${kb((f.brotli ?? f.plain).length).padStart(6)} KB ${f.path}`);
    }
    console.log(`web: ${kb(weight).padStart(6)} KB JS + CSS, brotli, of ${kb(BUDGET_BYTES)}`);
    if (weight > BUDGET_BYTES) {
        throw new Error(`the page's JS + CSS weigh ${weight} bytes (brotli); at most ${BUDGET_BYTES}`);
    }
}

function cArray(name, bytes) {
    const lines = [];
    for (let i = 0; i < bytes.length; i += 24) {
        lines.push('    ' + Array.from(bytes.subarray(i, i + 24)).join(',') + ',');
    }
    return `static const uint8_t ${name}[] = {\n${lines.join('\n')}\n};\n`;
}

function cSource(files) {
    const arrays = [];
    const rows = files.map((f, i) => {
        const fields = [
            `.path = ${JSON.stringify(f.path)}`,
            `.type = ${JSON.stringify(f.type)}`,
            `.etag = "\\"${f.etag}\\""`,
            `.immutable = ${f.immutable}`,
        ];
        for (const form of ['plain', 'gzip', 'brotli']) {
            if (f[form]) {
                arrays.push(cArray(`${form}_${i}`, f[form]));
                fields.push(`.${form} = ${form}_${i}`, `.${form}_n = sizeof ${form}_${i}`);
            }
        }
        return `    {${fields.join(',\n     ')}},`;
    });
    return (
        '/* Made by web/build.mjs from web/; do not edit. */\n' +
        '#include "serve/web.h"\n\n' +
        arrays.join('\n') +
        `\nconst struct td_web_file td_web_files[] = {\n${rows.join('\n')}\n};\n` +
        'const size_t td_web_file_count = sizeof td_web_files / sizeof *td_web_files;\n'
    );
}

function sleep(ms) {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
}

function isAlive(pid) {
    try {
        process.kill(pid, 0);
        return true;
    } catch (e) {
        return e.code === 'EPERM';
    }
}

/** The file is made by exactly one of two builds; the other waits for it to go. One that was left
 * behind by a build that was stopped is taken away. */
function locked(lock, work) {
    for (;;) {
        try {
            fs.writeFileSync(lock, String(process.pid), { flag: 'wx' });
            break;
        } catch (e) {
            if (e.code !== 'EEXIST') {
                throw e;
            }
        }
        try {
            const owner = Number(fs.readFileSync(lock, 'utf8'));
            if (owner > 0 && !isAlive(owner)) {
                fs.rmSync(lock, { force: true });
            }
        } catch {
            // It went meanwhile.
        }
        sleep(100);
    }
    try {
        return work();
    } finally {
        fs.rmSync(lock, { force: true });
    }
}

function make(cache, result) {
    try {
        installPackages();
    } catch (e) {
        const why = String(e.stderr ?? e.message).trim().split('\n').slice(0, 6).join('\n');
        console.error(`web: the page's packages could not be installed: ${why}`);
        return false;
    }
    const bin = (...p) => path.join(web, 'node_modules', ...p);
    const dist = path.join(cache, 'dist');
    run(process.execPath, [bin('typescript', 'bin', 'tsc'), '--noEmit'], false);
    run(process.execPath, [bin('vite', 'bin', 'vite.js'), 'build', '--outDir', dist, '--emptyOutDir',
        '--logLevel', 'warn'], false);
    const files = packed(dist);
    weigh(files);
    for (const old of fs.readdirSync(cache).filter((f) => /^web_files-.*\.c$/.test(f))) {
        fs.rmSync(path.join(cache, old));
    }
    fs.writeFileSync(result + '.part', cSource(files));
    fs.renameSync(result + '.part', result);
    return true;
}

function main() {
    const cache = path.resolve(argument('--cache', path.join(web, '..', 'build', 'web')));
    const out = argument('--out', null);
    const fallback = argument('--fallback', null);
    fs.mkdirSync(cache, { recursive: true });
    const result = path.join(cache, `web_files-${inputsHash()}.c`);
    const made = locked(path.join(cache, 'lock'), () => fs.existsSync(result) || make(cache, result));
    if (!made && fallback) {
        console.error('web: building the hub without its page; build again when npm reaches its packages');
    }
    const source = made ? result : fallback;
    if (source && out) {
        fs.copyFileSync(source, out);
        if (!made) {
            fs.utimesSync(out, 1, 1); // older than its sources: the next build tries again
        }
    }
    return source ? 0 : 1;
}

try {
    process.exitCode = main();
} catch (e) {
    console.error(`web: ${e.message}`);
    process.exitCode = 1;
}
