import { builtinModules } from "node:module";
import { installedFile, ROOT } from "./installed.ts";

/** The code to bundle, and its target. */
export interface BundleOptions {
  /** A file, from the folder of the repository. */
  readonly file?: string;
  /** The source itself, if there is no file. */
  readonly code?: string;
  readonly minify?: boolean;
  /** Packages that the bundle imports. */
  readonly external?: readonly string[];
  /** Default: a module for a browser. `"worker"`: one for Cloudflare Workers, as wrangler makes it. */
  readonly format?: "esm" | "cjs" | "worker";
  /** The folder of another React than that of the tests, from the folder of the repository. */
  readonly react?: string;
}

const PLATFORMS = {
  esm: ["--format=esm", "--platform=browser"],
  cjs: ["--format=cjs", "--platform=node"],
  worker: [
    ...["--format=esm", "--platform=neutral", "--main-fields=module,main"],
    ...["--conditions=workerd,worker,browser", "--external:node:*", "--external:cloudflare:*"],
    ...builtinModules
      .filter((name) => /^[a-z]/.test(name) && !name.startsWith("bun"))
      .map((name) => `--alias:${name}=node:${name}`),
    // Packages in CommonJS require modules of Node.
    '--banner:js=import { createRequire } from "node:module"; const require = createRequire("/");',
  ],
} as const;

const COMPILER_OPTIONS = { jsx: "react-jsx", target: "es2022" };

/**
 * Bundles a program with esbuild, as a site does. The package itself is taken from its sources, other packages from those
 * of the tests.
 *
 * @throws Error if esbuild complains, also if it only warns.
 */
export function bundle({
  file,
  code = "",
  minify = false,
  external = [],
  format = "esm",
  react,
}: BundleOptions): string {
  const args = [
    ...["--bundle", "--target=es2022", "--log-level=warning", ...PLATFORMS[format]],
    // The paths of tsconfig.json lead to types.
    `--tsconfig-raw=${JSON.stringify({ compilerOptions: COMPILER_OPTIONS })}`,
    "--alias:spillway/client=./src/client/mod.ts",
    "--alias:spillway/cloudflare=./src/cloudflare.ts",
    "--alias:spillway/react=./src/client/react.ts",
    '--define:process.env.NODE_ENV="development"',
    ...(react === undefined
      ? []
      : ["react", "react-dom"].map((name) => `--alias:${name}=./${react}/node_modules/${name}`)),
    ...external.map((name) => `--external:${name}`),
    ...(minify ? ["--minify"] : []),
    ...(file === undefined ? ["--loader=ts"] : [file]),
  ];
  const { stdout, stderr } = Bun.spawnSync([installedFile("esbuild/bin/esbuild"), ...args], {
    cwd: ROOT,
    env: { ...process.env, NODE_PATH: `${ROOT}test/node_modules` },
    stdin: new TextEncoder().encode(code),
    maxBuffer: 1 << 26,
  });
  if (stderr.length > 0) throw new Error(stderr.toString());
  return stdout.toString();
}
