import { expect } from 'chai'
import { foldCase } from '../../../projections/foldCase.ts'

describe('a search that ignores case', () => {
  const same: [what: string, one: string, other: string][] = [
    ['capital and small letters', 'CI Deploy', 'ci dEPLOY'],
    ['letters with marks, however they are written', 'ÄPFEL', 'a\u0308pfel'],
    ['both small sigmas', 'ΑΣΦΑΛΕΙΑ ΟΔΟΣ', 'ασφαλεια οδος'],
    ['a sigma at the end of what is looked for', 'ΑΣ', 'ασ'],
    ['ß, ẞ and ss', 'STRASSE Straße', 'straẞe strasse'],
    ['ligatures and their letters', 'ﬁle oﬃce ﬅ', 'FILE OFFICE st'],
    ['letters that have a capital of several', 'ŉ ΐ ᾳ և', 'ʼN Ϊ́ ΑΙ ԵՒ'],
    ['the dotted capital İ and an i with a dot', 'İSTANBUL', 'i\u0307stanbul'],
    ['K and the Kelvin sign, Å and the Ångström sign', 'K Å', 'k å'],
    ['long s', 'ſ', 'S'],
    ['Cherokee', 'ᎠᏰ', 'ꭰᏸ'],
    ['letters beyond the basic plane', '𐐀', '𐐨'],
    ['marks in another order', 'q\u0323\u0307', 'Q\u0307\u0323'],
  ]
  for (const [what, one, other] of same) {
    it(`takes ${what} for the same`, () => {
      expect(foldCase(one)).to.equal(foldCase(other))
      expect(foldCase(foldCase(one)), 'once more').to.equal(foldCase(one))
    })
  }

  it('tells other letters apart', () => {
    for (const [one, other] of [
      ['ı', 'i'],
      ['İ', 'I'],
      ['é', 'e'],
      ['ﬀ', 'f'],
      ['Ａ', 'a'],
      ['σ', 's'],
    ] as const) {
      expect(foldCase(one), `${one} ${other}`).not.to.equal(foldCase(other))
    }
  })

  it('finds the beginning of a word in the word', () => {
    const word = 'ΑΣΦΑΛΕΙΑΣ Straße ﬁnal İzmir'
    for (let end = 1; end <= word.length; end++) {
      for (const piece of [
        word.slice(0, end),
        word.slice(0, end).toLowerCase(),
        word.slice(0, end).toUpperCase(),
      ])
        expect(foldCase(word), piece).to.include(foldCase(piece))
    }
  })
})
