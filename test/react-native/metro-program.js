/**
 * `node metro-program.js <project> <platform> <out>`: bundles the app with Metro, as React Native does: for iOS, with its lowering for
 * the engine of React Native 0.88; for Android, with that for engines without classes. The project is a folder in which
 * `spillway` is installed.
 */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const require = createRequire(import.meta.url);
const Metro = require("metro");

const [project = "", platform, out] = process.argv.slice(2);
const here = dirname(fileURLToPath(import.meta.url));

const defaults = await Metro.loadConfig({ cwd: here, projectRoot: here });
const config = await Metro.mergeConfig(defaults, {
  projectRoot: here,
  watchFolders: [here, join(here, "../client/support"), project],
  maxWorkers: 1,
  cacheStores: ({ FileStore }) => [new FileStore({ root: join(project, "cache") })],
  fileMapCacheDirectory: project,
  reporter: { update() {} },
  resolver: {
    useWatchman: false,
    platforms: ["android", "ios"],
    sourceExts: ["js", "json", "ts"],
    nodeModulesPaths: [join(project, "node_modules"), join(here, "node_modules")],
  },
  transformer: {
    babelTransformerPath: require.resolve("@react-native/metro-babel-transformer"),
    asyncRequireModulePath: require.resolve("metro-runtime/src/modules/asyncRequire"),
  },
});
await Metro.runBuild(config, {
  entry: "app/program.ts",
  platform,
  dev: false,
  out,
  unstable_transformProfile: platform === "ios" ? "hermes-stable" : "default",
});
