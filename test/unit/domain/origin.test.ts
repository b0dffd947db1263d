import { expect } from 'chai'
import { isOriginOf, originOf } from '../../../src/domain/origin.ts'

describe('an origin', () => {
  const spellings: [text: string, origin: string][] = [
    ['https://app.example.com', 'https://app.example.com'],
    ['HTTPS://App.Example.COM', 'https://app.example.com'],
    ['https://app.example.com:443', 'https://app.example.com'],
    ['http://app.example.com:80', 'http://app.example.com'],
    ['http://app.example.com:443', 'http://app.example.com:443'],
    ['https://app.example.com:08443', 'https://app.example.com:8443'],
    ['http://127.0.0.1:3000', 'http://127.0.0.1:3000'],
    ['http://[::1]:3000', 'http://[::1]:3000'],
    ['https://[2001:DB8::1]', 'https://[2001:db8::1]'],
    ['capacitor://localhost', 'capacitor://localhost'],
  ]
  for (const [text, origin] of spellings) {
    it(`has one spelling: ${text}`, () => expect(originOf(text)).to.equal(origin))
  }

  for (const text of [
    '',
    'null',
    '*',
    'app.example.com',
    '//app.example.com',
    'https:app.example.com',
    'https://',
    'https://app.example.com/',
    'https://app.example.com/path',
    'https://app.example.com?x',
    'https://app.example.com#x',
    'https://user@app.example.com',
    'https://app.example.com\\',
    'https://*.example.com',
    'https://app.example.com:',
    'https://app.example.com:x',
    'https://app.example.com:65536',
    'https://app.example.com:123456',
    'https://a.example, https://b.example',
    'https://a.example https://b.example',
    ' https://a.example',
    'https://a.example\n',
    'https://[::1',
    'https://::1',
    'https://%61.example',
  ]) {
    it(`is none: ${JSON.stringify(text)}`, () => expect(originOf(text)).to.equal(null))
  }
})

describe('the origin of a page', () => {
  it('is that of the server where host and port are the same, whatever their spelling', () => {
    for (const [origin, host] of [
      ['https://app.example.com', 'app.example.com'],
      ['https://app.example.com', 'APP.example.com:443'],
      ['HTTPS://APP.EXAMPLE.COM:443', 'app.example.com'],
      ['http://app.example.com', 'app.example.com'],
      ['http://app.example.com', 'app.example.com:80'],
      ['http://localhost:3000', 'localhost:3000'],
      ['http://[::1]:3000', '[::1]:3000'],
      ['https://[2001:db8::1]', '[2001:DB8::1]:443'],
    ] as const)
      expect(isOriginOf(origin, host), `${origin} ${host}`).to.equal(true)
  })

  it('is another where one of them differs, or is none', () => {
    for (const [origin, host] of [
      ['https://app.example.com', 'example.com'],
      ['https://example.com', 'app.example.com'],
      ['https://app.example.com:8443', 'app.example.com'],
      ['https://app.example.com', 'app.example.com:8443'],
      ['http://app.example.com', 'app.example.com:443'],
      ['http://localhost:3000', 'localhost:3001'],
      ['http://[::1]:3000', '[::1]'],
      ['null', 'null'],
      ['', ''],
      ['https://app.example.com', ''],
      ['https://app.example.com/x', 'app.example.com'],
      ['https://app.example.com', 'app.example.com/x'],
      ['https://app.example.com', 'user@app.example.com'],
      ['capacitor://app.example.com', 'app.example.com'],
      ['https://app.example.com.evil.example', 'app.example.com'],
      ['https://evil.example#app.example.com', 'app.example.com'],
    ] as const)
      expect(isOriginOf(origin, host), `${origin} ${host}`).to.equal(false)
  })
})
