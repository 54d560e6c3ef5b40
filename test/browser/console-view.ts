import type { Page } from "puppeteer-core";
import { eventually, type OpenPage } from "../support/browser.ts";

/** One message, as the console shows it. */
export interface Row {
  readonly subject: string;
  readonly mark: string;
  readonly preview: string;
}

/** The console as its user sees it. */
export class ConsoleView {
  readonly page: Page;
  readonly complaints: readonly string[];

  private constructor(page: Page, complaints: readonly string[]) {
    this.page = page;
    this.complaints = complaints;
  }

  /** Opens the console and returns it once it is connected. */
  static async open(open: OpenPage, url: string): Promise<ConsoleView> {
    const view = await ConsoleView.show(open, url);
    await view.untilState("open");
    return view;
  }

  /** Opens the console, whether it can connect or not. */
  static async show(open: OpenPage, url: string): Promise<ConsoleView> {
    const { page, complaints } = await open(url);
    return new ConsoleView(page, complaints);
  }

  /** What an element says. */
  async text(selector: string): Promise<string> {
    return await this.page.$eval(selector, (element) => element.textContent ?? "");
  }

  async value(selector: string): Promise<string> {
    return await this.page.$eval(selector, (element) => (element as HTMLInputElement).value);
  }

  /** What an element says, and nothing where it isn't visible. */
  async shown(selector: string): Promise<string> {
    return await this.page.$eval(selector, (element) =>
      element.checkVisibility() ? (element.textContent ?? "") : "",
    );
  }

  async untilShown(selector: string, text: string | RegExp): Promise<string> {
    const fits = (now: string): boolean =>
      typeof text === "string" ? now === text : text.test(now);
    return await eventually(() => this.shown(selector), fits, `${text} in ${selector}`);
  }

  async untilText(selector: string, text: string | RegExp): Promise<string> {
    const fits = (now: string): boolean =>
      typeof text === "string" ? now === text : text.test(now);
    return await eventually(() => this.text(selector), fits, `${text} in ${selector}`);
  }

  async untilState(state: string | RegExp): Promise<string> {
    return await this.untilText("#state", state);
  }

  /** The rows that are shown, the newest first. */
  async rows(): Promise<Row[]> {
    return await this.page.$$eval("#list summary", (summaries) =>
      summaries.map((summary) => {
        const read = (name: string): string => summary.querySelector(name)?.textContent ?? "";
        return { subject: read(".subject"), mark: read(".mark"), preview: read(".preview") };
      }),
    );
  }

  async untilRows(fits: (rows: readonly Row[]) => boolean, what: string): Promise<Row[]> {
    return await eventually(() => this.rows(), fits, what);
  }

  /** Opens the message with this subject and returns its payload as it is shown. */
  async openRow(subject: string): Promise<string> {
    const rows = await this.page.$$("#list li");
    for (const row of rows) {
      if ((await row.$eval(".subject", (element) => element.textContent)) !== subject) continue;
      await (await row.$("summary"))!.click();
      const payload = await row.waitForSelector("pre");
      return await payload!.evaluate((element) => element.textContent ?? "");
    }
    throw new Error(`no row with the subject ${subject}`);
  }

  /** Puts a text into a field in place of what it holds. */
  async fill(selector: string, text: string): Promise<void> {
    await this.page.click(selector, { count: 3 });
    await this.page.keyboard.press("Backspace");
    await this.page.type(selector, text);
  }

  async publish(subject: string, payload: string): Promise<void> {
    await this.fill("#subject", subject);
    await this.fill("#payload", payload);
    await this.page.click("#publish button");
  }

  async useToken(token: string): Promise<void> {
    await this.fill("#token", token);
    await this.page.click("#access button");
  }

  async filter(subjects: string): Promise<void> {
    await this.fill("#subjects", subjects);
    await this.page.keyboard.press("Enter");
  }
}
