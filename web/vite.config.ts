// How Vite builds the page: no inline code or data (the content security policy forbids both), names by
// content; `npm run dev` serves the sources against the hub in $TANDEM_HUB.
import { defineConfig } from 'vite';

export default defineConfig({
    base: '/',
    esbuild: { jsx: 'automatic', jsxImportSource: 'preact', legalComments: 'none' },
    build: {
        target: 'es2022',
        modulePreload: false, // its polyfill would be an extra script for browsers we do not serve
        assetsInlineLimit: 0, // a data: URL would break the content security policy
        cssCodeSplit: false,
        rollupOptions: {
            output: {
                entryFileNames: 'assets/[name]-[hash].js',
                chunkFileNames: 'assets/[name]-[hash].js',
                assetFileNames: 'assets/[name]-[hash][extname]',
            },
        },
    },
    server: {
        host: '127.0.0.1',
        proxy: {
            '/api': { target: process.env.TANDEM_HUB ?? 'http://127.0.0.1:8080', ws: true },
            '/health': process.env.TANDEM_HUB ?? 'http://127.0.0.1:8080',
        },
    },
});
