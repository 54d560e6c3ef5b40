/**
 * Returns the anchor of a heading, as GitHub makes it, so that a link works in both places.
 *
 * @param {string} heading
 */
export function anchorOf(heading) {
  const words = heading.trim().toLowerCase();
  return words.replace(/[^\p{L}\p{N}\- _]/gu, "").replaceAll(" ", "-");
}
