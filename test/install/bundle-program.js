/**
 * `node bundle-program.js <bundler>`: bundles the site in the current folder, as a site's own build does, into its folder
 * `out`. The last line of its output has all that the bundler complained of, as JSON.
 */
import { cpSync } from "node:fs";
import process from "node:process";
import * as esbuild from "esbuild";
import { build, createLogger } from "vite";
import webpack from "webpack";

const folder = process.cwd();

/** The bundlers by name. Each returns its complaints. */
const BUNDLERS = {
  async esbuild() {
    const { warnings, errors } = await esbuild
      .build({
        entryPoints: ["main.js"],
        bundle: true,
        format: "esm",
        minify: true,
        outfile: "out/main.js",
        logLevel: "silent",
      })
      .catch((failure) => failure);
    cpSync("index.html", "out/index.html");
    return [...warnings, ...errors].map(({ text }) => text);
  },

  async vite() {
    const complaints = [];
    const complain = (text) => void complaints.push(text);
    const logger = {
      ...createLogger("silent"),
      warn: complain,
      warnOnce: complain,
      error: complain,
    };
    await build({
      root: folder,
      configFile: false,
      customLogger: logger,
      build: { outDir: "out" },
    }).catch(({ message }) => complain(message));
    return complaints;
  },

  async webpack() {
    const { warnings = [], errors = [] } = await new Promise((resolve, reject) => {
      const options = {
        context: folder,
        entry: "./main.js",
        mode: "production",
        output: { path: `${folder}/out`, filename: "main.js" },
        // React 19 alone is larger than what webpack recommends.
        performance: { hints: false },
      };
      webpack(options, (error, stats) => (stats ? resolve(stats.toJson()) : reject(error)));
    });
    cpSync("index.html", "out/index.html");
    return [...warnings, ...errors].map(({ message }) => message);
  },
};

const complaints = await BUNDLERS[process.argv[2]]();
process.stdout.write(`${JSON.stringify(complaints)}\n`);
