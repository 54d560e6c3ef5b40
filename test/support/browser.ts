import { afterAll, afterEach, beforeAll, describe } from "bun:test";
import puppeteer, { type Browser, type BrowserContext, type Page } from "puppeteer-core";
import { CHROMIUM_ADVICE, ensureChromium } from "../../scripts/install-chromium.ts";
import { DEADLINE_MS, DeadlineError } from "./event-log.ts";

const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // As when somebody makes a name of theirs point to this machine.
  "--host-resolver-rules=MAP *.example 127.0.0.1",
];

/** A page, and what it complained about: errors of its script and violations of its policy. */
export interface WatchedPage {
  readonly page: Page;
  readonly complaints: readonly string[];
}

/** Opens an address in a page that shares nothing with others and is closed after the test. */
export type OpenPage = (url: string) => Promise<WatchedPage>;

/**
 * `describe` with a headless browser, whose profile is new and goes with it. Where no browser can
 * be had, the tests are skipped and it is said what to do.
 */
export async function describeInBrowser(
  name: string,
  tests: (open: OpenPage) => void,
): Promise<void> {
  const executablePath = await ensureChromium();
  if (executablePath === undefined) {
    process.stderr.write(`Skipped as there is no browser: "${name}"; ${CHROMIUM_ADVICE}\n`);
  }
  describe.skipIf(executablePath === undefined)(name, () => {
    let browser: Browser;
    let contexts: BrowserContext[] = [];
    beforeAll(async () => {
      browser = await puppeteer.launch({
        executablePath: executablePath!,
        headless: "shell",
        args: ARGUMENTS,
      });
    });
    afterEach(async () => {
      const used = contexts;
      contexts = [];
      await Promise.all(used.map((context) => context.close()));
    });
    afterAll(async () => {
      await browser?.close();
    });
    tests(async (url) => {
      const context = await browser.createBrowserContext();
      contexts.push(context);
      return await openPage(context, url);
    });
  });
}

async function openPage(context: BrowserContext, url: string): Promise<WatchedPage> {
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") complaints.push(message.text());
  });
  page.setDefaultTimeout(DEADLINE_MS);
  await page.goto(url);
  return { page, complaints };
}

/** What is read, once it fits; it is read again and again until then. */
export async function eventually<T>(
  read: () => Promise<T>,
  fits: (value: T) => boolean,
  what: string,
  deadlineMs: number = DEADLINE_MS,
): Promise<T> {
  const end = performance.now() + deadlineMs;
  for (;;) {
    const value = await read();
    if (fits(value)) return value;
    if (performance.now() > end) {
      const instead = JSON.stringify(value);
      throw new DeadlineError(`no ${what} within ${deadlineMs / 1000} s; came instead: ${instead}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
