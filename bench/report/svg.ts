import { type EChartsOption, init } from "echarts";

export const WIDTH = 800;
export const FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif";

/** A chart as SVG, in the house's letters. */
export function renderSvg(option: EChartsOption, height: number): string {
  const chart = init(null, null, { renderer: "svg", ssr: true, width: WIDTH, height });
  chart.setOption({
    animation: false,
    backgroundColor: "#ffffff",
    textStyle: { fontFamily: FONT, fontSize: 13 },
    ...option,
  });
  // What is named by counting all charts of the process, and how things look below a pointer.
  const svg = chart
    .renderToSVGString()
    .replaceAll(/\bzr\d+-/g, "zr-")
    .replaceAll(/ class="zr-cls-\d+"/g, "")
    .replace(/<style[\s\S]*?<\/style>/, "");
  chart.dispose();
  return `${svg}\n`;
}
