import { defineConfig, type Plugin } from "vite";

// The mock is for `npm run dev` only: nothing of it is in the bundle.
const development = async (): Promise<Plugin> => (await import("./mock/plugin")).mock();

export default defineConfig(async ({ command }) => ({
  base: "/",
  esbuild: { jsx: "automatic" as const, jsxImportSource: "preact", legalComments: "none" as const },
  plugins: command === "serve" ? [await development()] : [],
  build: {
    target: "es2020",
    outDir: "dist",
    emptyOutDir: true, // public/.keep comes back with it
    // The page's Content-Security-Policy allows files of the box's own, and
    // neither inline script nor data: addresses.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
    sourcemap: false,
  },
}));
