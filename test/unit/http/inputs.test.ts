import { expect } from 'chai'
import { nameProblem, normaliseName, reasonProblem } from '../../../src/domain/rules.ts'
import { nameInput, reasonInput } from '../../../src/http/openapi/inputs.ts'

const LONE = /\p{Cs}/u

/** The characters, each as a text of its own, that the rule accepts and the pattern does not. */
function* acceptedAlone(pattern: string, accepts: (text: string) => boolean): Generator<string> {
  const described = new RegExp(pattern, 'u')
  for (let code = 0; code <= 0x10ffff; code++) {
    const text = String.fromCodePoint(code)
    if (!LONE.test(text) && !described.test(text) && accepts(text)) yield `U+${code.toString(16)}`
  }
}

describe('The pattern of the description', () => {
  it('for a name refuses no character that the rule accepts', () => {
    const accepts = (text: string) => nameProblem(normaliseName(text)) === null
    expect([...acceptedAlone(nameInput.pattern, accepts)]).to.deep.equal([])
  })

  it('for a reason refuses no character that the rule accepts', () => {
    expect([...acceptedAlone(reasonInput.pattern, (text) => reasonProblem(text) === null)]).to.deep.equal([])
  })
})
