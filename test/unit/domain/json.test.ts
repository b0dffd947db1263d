import { expect } from 'chai'
import { repeatedMember } from '../../../src/domain/json.ts'
import { processorTime } from '../../support/suite/loop.ts'

describe('JSON', () => {
  const twice: [json: string, name: string][] = [
    ['{"a":1,"a":1}', 'a'],
    ['{"name":"x","n\\u0061me":"y"}', 'name'],
    ['{"a":{"b":1,"c":[{"d":{}},{"d":1,"d":2}]}}', 'd'],
    ['[{"a":1}, {"a" : 1, "b": 2,\n"a"\t: 3}]', 'a'],
    ['{"__proto__":1,"__proto__":2}', '__proto__'],
    ['{"__proto__":{},"\\u005f_proto__":2}', '__proto__'],
    ['{"":1,"":2}', ''],
    ['{"a\\"b":1,"a\\u0022b":2}', 'a"b'],
    ['{"a":{},"b":{"c":{}},"a":0}', 'a'],
    ['{"\\/":1,"/":2}', '/'],
  ]
  for (const [json, name] of twice) {
    it(`with a member twice is known: ${json.slice(0, 50)}`, () => {
      JSON.parse(json)
      expect(repeatedMember(json)).to.equal(name)
    })
  }

  it('without one is known, whatever its texts hold', () => {
    for (const json of [
      'null',
      '"a"',
      '[]',
      '{}',
      '["a","a","{","\\"a\\":"]',
      '{"a":"a","b":"\\"a\\":1","c":"{\\"a\\":1,","d":["a","a"]}',
      '{"a":{"a":{"a":1}},"b":[{"a":1},{"a":1}]}',
      '{"a":"}","b":{"a":"\\\\"},"c":1}',
      '{"toString":1,"constructor":2,"__proto__":3}',
    ]) {
      JSON.parse(json)
      expect(repeatedMember(json), json).to.equal(null)
    }
  })

  it('is looked through at once, however it is made', () => {
    const started = processorTime()
    for (const json of [
      `"${'\\"'.repeat(500_000)}"`,
      `{"a":"${'x'.repeat(1_000_000)}"}`,
      `${'{"a":'.repeat(100_000)}1${'}'.repeat(100_000)}`,
      `[${'"a",'.repeat(200_000)}1]`,
    ])
      expect(repeatedMember(json)).to.equal(null)
    expect(processorTime() - started).to.be.below(2000)
  })
})
