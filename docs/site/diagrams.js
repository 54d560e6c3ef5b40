import { renderMermaidSVG } from "beautiful-mermaid";

/**
 * Draws Mermaid's diagrams when the site is built: a page loads no script and no font for them.
 *
 * @param {import("vitepress").MarkdownRenderer} md
 */
export function diagrams(md) {
  const other = md.renderer.rules.fence;
  md.renderer.rules.fence = (tokens, index, options, env, self) => {
    const { info, content } = /** @type {NonNullable<typeof tokens[number]>} */ (tokens[index]);
    if (info.trim() !== "mermaid") return other?.(tokens, index, options, env, self) ?? "";
    const svg = renderMermaidSVG(content, {
      bg: "var(--vp-c-bg)",
      fg: "var(--vp-c-text-1)",
      transparent: true,
    })
      .replace(/@import url\([^)]*\);/, "")
      .replace(/ width="[\d.]+" height="[\d.]+"/, ' role="img" width="960"');
    // The compiler of templates takes no <style>.
    // On a narrow page, its text stays readable.
    return `<div style="overflow-x: auto" v-html="${md.utils.escapeHtml(JSON.stringify(svg))}"></div>\n`;
  };
}
