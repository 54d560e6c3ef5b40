import { spawnSync } from "node:child_process";
import {
  accessSync,
  constants,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { delimiter, join } from "node:path";
import { installedFile, ROOT } from "./installed.ts";

const CACHE = join(ROOT, ".cache");
const PACKAGE = "@sparticuz/chromium";
const NAMES = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
const MAC_APPS = [
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
];

/** What to do where {@linkcode ensureChromium} finds no browser. */
export const CHROMIUM_ADVICE =
  "install Chromium or Chrome so that it is on the PATH, or set CHROMIUM to the path of its program";

/**
 * Where a Chromium is that runs here: `CHROMIUM`, else the one in `test/node_modules` (Linux on x64,
 * unpacked into `.cache`), else the first one on the `PATH`, else what apt-get can install (as root,
 * or with a `sudo` that asks for no password). `undefined` where none of them could; tests that
 * need a browser are skipped there.
 *
 * @throws Error when `CHROMIUM` names something that does not run.
 */
export async function ensureChromium(): Promise<string | undefined> {
  const named = process.env.CHROMIUM;
  if (named !== undefined && named !== "") {
    if (runs(named)) return named;
    throw new Error(`Cannot use Chromium at CHROMIUM=${named}: it does not run`);
  }
  return packaged() ?? installed() ?? (installWithApt() ? installed() : undefined);
}

/** The browser of the npm package, which brings the system libraries and a font with it. */
function packaged(): string | undefined {
  if (process.platform !== "linux" || process.arch !== "x64") return undefined;
  const version = packageVersion();
  if (version === undefined) return undefined;
  const folder = join(CACHE, `chromium-${version}`);
  const program = join(folder, "run");
  if (!isExecutable(program) && !unpack(folder)) return undefined;
  return runs(program) ? program : undefined;
}

function packageVersion(): string | undefined {
  try {
    const manifest = readFileSync(installedFile(`${PACKAGE}/package.json`), "utf8");
    return (JSON.parse(manifest) as { version: string }).version;
  } catch {
    return undefined;
  }
}

/** Unpacks the whole folder under another name first: half a browser is never found. */
function unpack(folder: string): boolean {
  mkdirSync(CACHE, { recursive: true });
  const unready = mkdtempSync(`${folder}-`);
  // The package unpacks into the temporary folder, and its libraries only where it sees Lambda.
  const { status } = spawnSync(
    process.execPath,
    ["-e", `await (await import("${PACKAGE}")).default.executablePath()`],
    {
      cwd: join(ROOT, "test"),
      env: { ...process.env, TMPDIR: unready, AWS_EXECUTION_ENV: "AWS_Lambda_nodejs22.x" },
      stdio: ["ignore", "inherit", "inherit"],
    },
  );
  if (status === 0) {
    writeFileSync(join(unready, "fonts.conf"), fontsOf(folder));
    writeFileSync(join(unready, "run"), RUN, { mode: 0o755 });
    try {
      renameSync(unready, folder);
    } catch {
      // Another process was faster; its folder is as good.
    }
  }
  rmSync(unready, { recursive: true, force: true });
  return isExecutable(join(folder, "run"));
}

const RUN = `#!/bin/sh
here=$(cd "$(dirname "$0")" && pwd)
export LD_LIBRARY_PATH="$here/al2023/lib" FONTCONFIG_FILE="$here/fonts.conf"
exec "$here/chromium" "$@"
`;

/** The system's fonts where there are any, and the package's own. */
function fontsOf(folder: string): string {
  return `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <dir>${folder}/fonts</dir>
  <cachedir>${folder}/fonts-cache</cachedir>
</fontconfig>
`;
}

function installed(): string | undefined {
  const folders = (process.env.PATH ?? "").split(delimiter).filter((folder) => folder !== "");
  const onPath = NAMES.flatMap((name) => folders.map((folder) => join(folder, name)));
  return [...onPath, ...MAC_APPS].find((path) => isExecutable(path) && runs(path));
}

function installWithApt(): boolean {
  if (process.platform !== "linux") return false;
  const sudo = process.getuid?.() === 0 ? [] : ["sudo", "-n"];
  return [["update"], ["install", "-y", "--no-install-recommends", "chromium"]].every((args) => {
    const [file = "", ...rest] = [...sudo, "apt-get", ...args];
    const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
    return spawnSync(file, rest, { env, stdio: ["ignore", "inherit", "inherit"] }).status === 0;
  });
}

function runs(path: string): boolean {
  return spawnSync(path, ["--version"], { stdio: "ignore", timeout: 10_000 }).status === 0;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
