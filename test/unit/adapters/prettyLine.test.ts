import { expect } from 'chai'
import { prettyLine } from '../../../src/adapters/telemetry/prettyLine.ts'

describe('a log line for people', () => {
  const of = (entry: object) =>
    prettyLine(`${JSON.stringify({ level: 30, time: '2026-11-23T12:00:00.123Z', ...entry })}\n`)

  it('says when, how important, what, and then the rest', () => {
    expect(of({ url: 'http://127.0.0.1:3000', n: 1, none: null, msg: 'listening' })).to.equal(
      '12:00:00.123 INFO  listening  url=http://127.0.0.1:3000  n=1  none=null\n',
    )
    expect(of({ level: 40, list: ['a b'], text: 'a b', msg: 'odd' })).to.equal(
      '12:00:00.123 WARN  odd  list=["a b"]  text="a b"\n',
    )
  })

  it('shows where an error came from, line by line', () => {
    const err = { type: 'Error', message: 'broken', stack: 'Error: broken\n    at here\n    at there' }
    expect(of({ level: 50, err, msg: 'failed' })).to.equal(
      '12:00:00.123 ERROR failed\n    Error: broken\n    at here\n    at there\n',
    )
    expect(of({ err: { message: 'short' }, msg: 'failed' })).to.equal(
      '12:00:00.123 INFO  failed\n    short\n',
    )
  })

  it('holds nothing that a terminal would obey', () => {
    const evil = '\u001b[2J\u0007\r\u0085'
    const line = of({ id: evil, err: { stack: `Error: ${evil}` }, msg: 'x' })
    expect(line.replaceAll('\n', '')).not.to.match(/\p{Cc}/u)
  })
})
