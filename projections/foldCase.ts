/**
 * Canonical caseless matching as Unicode defines it (D145, full case folding): equal results, equal text but for case.
 * JavaScript has no case folding. The way over capital letters joins what it joins (ß and ss, σ and ς, ligatures), but
 * for the dotless ı, which is no other letter's small form there.
 */
export const foldCase = (text: string): string =>
  text
    .normalize('NFD')
    .replace(/[^ı]+/g, (letters) => letters.toLowerCase().toUpperCase().toLowerCase())
    // Lower case depends on whether the word ends there, which a part of a name does not know.
    .replaceAll('ς', 'σ')
    .normalize('NFC')
