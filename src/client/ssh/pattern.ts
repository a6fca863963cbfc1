/** Patterns of `ssh_config` and `known_hosts`, as ssh_config(5) has them under PATTERNS: `*`, `?`, and `!` in lists. Pure. */

/** Does the whole text match? Takes time in proportion to both lengths, whatever stands in the pattern. */
export function matchesPattern(text: string, pattern: string): boolean {
  let [at, in_] = [0, 0];
  let [star, resume] = [-1, 0];
  while (at < text.length) {
    if (in_ < pattern.length && pattern[in_] === '*') {
      star = in_++;
      resume = at;
    } else if (in_ < pattern.length && (pattern[in_] === '?' || pattern[in_] === text[at])) {
      in_++;
      at++;
    } else if (star >= 0) {
      // Lets the last star take one character more.
      in_ = star + 1;
      at = ++resume;
    } else {
      return false;
    }
  }
  while (pattern[in_] === '*') in_++;
  return in_ === pattern.length;
}

/** Does one of the patterns match, and none of those with a `!` before? */
export function matchesList(text: string, patterns: readonly string[]): boolean {
  let matched = false;
  for (const pattern of patterns) {
    if (pattern.startsWith('!')) {
      if (matchesPattern(text, pattern.slice(1))) return false;
    } else if (matchesPattern(text, pattern)) {
      matched = true;
    }
  }
  return matched;
}
