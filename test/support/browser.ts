import puppeteer, { type Browser, type Page } from "puppeteer-core";
import { DEADLINE_MS, DeadlineError } from "./journal.ts";

const ARGUMENTS = [
  "--no-sandbox",
  "--disable-gpu",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

/** Starts a headless browser with a profile of its own, which goes when the browser is closed. */
export async function startBrowser(executablePath: string): Promise<Browser> {
  return await puppeteer.launch({ executablePath, headless: "shell", args: ARGUMENTS });
}

/** A page, and what it complained about: errors of its script and violations of its policy. */
export interface WatchedPage {
  readonly page: Page;
  readonly complaints: readonly string[];
}

/** Opens an address in a page of its own, in a context that shares nothing with others. */
export async function openPage(browser: Browser, url: string): Promise<WatchedPage> {
  const context = await browser.createBrowserContext();
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

/** What is read from a page, once it fits; it is read again and again until then. */
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
