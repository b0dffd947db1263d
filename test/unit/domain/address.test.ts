import { isIPv4, isIPv6 } from 'node:net'
import { expect } from 'chai'
import fc from 'fast-check'
import {
  canonicalAddress,
  canonicalBlock,
  isInside,
  limitedAs,
  parseBlocks,
} from '../../../src/domain/address.ts'

describe('An address', () => {
  const forms: Record<string, string> = {
    '192.0.2.1': '192.0.2.1',
    '192.0.2.1:8080': '192.0.2.1',
    '0.0.0.0': '0.0.0.0',
    '255.255.255.255:65535': '255.255.255.255',
    '::ffff:192.0.2.1': '192.0.2.1',
    '::FFFF:c000:0201': '192.0.2.1',
    '0:0:0:0:0:ffff:192.0.2.1': '192.0.2.1',
    '[::ffff:192.0.2.1]:443': '192.0.2.1',
    '2001:DB8:0:0:0:0:0:1': '2001:db8::1',
    '[2001:db8::1]': '2001:db8::1',
    '[2001:db8::1]:443': '2001:db8::1',
    '2001:0db8:0000:0001:0001:0001:0001:0001': '2001:db8:0:1:1:1:1:1',
    '2001:db8:0:0:1:0:0:1': '2001:db8::1:0:0:1',
    '2001:0:0:1:0:0:0:1': '2001:0:0:1::1',
    '1:2:3:4:5:6:7::': '1:2:3:4:5:6:7:0',
    '64:ff9b::192.0.2.33': '64:ff9b::c000:221',
    '::1:8080': '::1:8080',
    '::': '::',
    '::1': '::1',
    'fe80::': 'fe80::',
  }
  for (const [text, form] of Object.entries(forms)) {
    it(`${text} is ${form}`, () => expect(canonicalAddress(text)).to.equal(form))
  }

  const none = [
    '',
    ' 192.0.2.1',
    'unknown',
    '_hidden',
    'localhost',
    '192.0.2',
    '192.0.2.256',
    '192.0.2.01',
    '0xc0.0.2.1',
    '3221225985',
    '192.0.2.1:',
    '192.0.2.1:65536',
    '192.0.2.1:123456',
    '192.0.2.1:-1',
    '[192.0.2.1]',
    '[192.0.2.1]:80',
    '[::1',
    '::1]',
    '[::1]80',
    '[::1]:',
    'fe80::1%eth0',
    '[fe80::1%25eth0]:80',
    '192.0.2.0/24',
    '::1/128',
    ':::',
    '1::2::3',
    ':1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1:2:3:4::5:6:7:8',
    '12345::',
    '::g',
    '::192.0.2.1:1',
    '1.2.3.4::',
    '192.0.2.1\n',
    `::${'0'.repeat(60)}1`,
    '1:'.repeat(100_000),
  ]
  for (const text of none) {
    it(`is none: ${JSON.stringify(text.slice(0, 30))}`, () => expect(canonicalAddress(text)).to.equal(null))
  }

  it('is what Node takes for one, and is written as Node writes it', () => {
    const group = fc.oneof(
      fc.constant('0'),
      fc.constant('ffff'),
      fc.constant('0db8'),
      fc.stringMatching(/^[0-9A-Fa-f]{0,5}$/),
    )
    const octet = fc.oneof(fc.integer({ min: 0, max: 260 }).map(String), fc.constant('01'))
    const ipv4 = fc.array(octet, { minLength: 3, maxLength: 5 }).map((octets) => octets.join('.'))
    const ipv6 = fc
      .tuple(fc.array(group, { maxLength: 9 }), fc.option(ipv4, { nil: undefined }))
      .map(([groups, tail]) => [...groups, ...(tail === undefined ? [] : [tail])].join(':'))
    fc.assert(
      fc.property(fc.oneof(ipv4, ipv6, ipv6, ipv6), (text) => {
        const form = canonicalAddress(text)
        if (isIPv4(text)) expect(form).to.equal(text)
        else if (isIPv6(text)) {
          const node = new URL(`http://[${text}]`).hostname.slice(1, -1)
          expect(new URL(`http://[${form?.includes(':') ? form : `::ffff:${form}`}]`).hostname).to.equal(
            `[${node}]`,
          )
          if (form?.includes(':')) expect(form).to.equal(node)
        } else if (!/^[\d.]+:\d{1,5}$/.test(text)) expect(form, text).to.equal(null)
      }),
      { numRuns: 5_000 },
    )
  })

  it('has one form only: that of its form is the same', () => {
    fc.assert(
      fc.property(fc.ipV6(), (text) => {
        const form = canonicalAddress(text) ?? ''
        expect(canonicalAddress(form)).to.equal(form)
      }),
    )
  })

  it('is limited by itself, or by its /64', () => {
    expect(limitedAs('192.0.2.1')).to.equal('192.0.2.1')
    expect(limitedAs('2001:db8:1:2:3:4:5:6')).to.equal('2001:db8:1:2::/64')
    expect(limitedAs('2001:db8:1:2::')).to.equal('2001:db8:1:2::/64')
    expect(limitedAs('2001:db8:0:0:1::')).to.equal('2001:db8::/64')
    expect(limitedAs('::1')).to.equal('::/64')
  })
})

describe('Blocks of addresses', () => {
  const inside = (blocks: string, address: string) => isInside(parseBlocks(blocks), address)

  it('hold what begins as they do', () => {
    expect(inside('10.0.0.0/8', '10.255.0.1')).to.equal(true)
    expect(inside('10.0.0.0/8', '11.0.0.1')).to.equal(false)
    expect(inside('192.0.2.7', '192.0.2.7')).to.equal(true)
    expect(inside('192.0.2.7', '192.0.2.8')).to.equal(false)
    expect(inside('192.0.2.128/25', '192.0.2.200')).to.equal(true)
    expect(inside('192.0.2.128/25', '192.0.2.100')).to.equal(false)
    expect(inside('2001:db8::/33', '2001:db8:7fff::1')).to.equal(true)
    expect(inside('2001:db8::/33', '2001:db8:8000::1')).to.equal(false)
    expect(inside('10.0.0.0/8, 192.0.2.1 ::1', '::1')).to.equal(true)
  })

  it('of one family say nothing about the other, however wide', () => {
    expect(inside('0.0.0.0/0', '192.0.2.1')).to.equal(true)
    expect(inside('0.0.0.0/0', '::1')).to.equal(false)
    expect(inside('::/0', '::1')).to.equal(true)
    expect(inside('::/0', '192.0.2.1')).to.equal(false)
  })

  it('are together as each of them is by itself, whichever way they lie', () => {
    const block = fc.oneof(
      fc.tuple(
        fc.constantFrom('0.0.0.0', '10.0.0.0', '10.128.0.0', '10.128.7.0'),
        fc.integer({ min: 0, max: 32 }),
      ),
      fc.tuple(
        fc.constantFrom('::', '2001:db8::', '2001:db8:0:8::', '8000::'),
        fc.integer({ min: 0, max: 128 }),
      ),
    )
    const clean = fc.array(
      block.map(([address, bits]) => `${address}/${bits}`).filter((text) => canonicalBlock(text) !== null),
      { minLength: 1, maxLength: 20 },
    )
    const near = fc.tuple(clean, fc.nat(), fc.nat({ max: 255 })).map(([blocks, n, i]) => ({
      blocks,
      address: (blocks[n % blocks.length] as string)
        .replace(/\/.*/, '')
        .replace(/0$|:$/, (end) => `${end === '0' ? '' : ':'}${i}`),
    }))
    fc.assert(
      fc.property(near, ({ blocks, address }) => {
        const canonical = canonicalAddress(address) as string
        expect(inside(blocks.join(' '), canonical)).to.equal(blocks.some((one) => inside(one, canonical)))
      }),
      { numRuns: 2_000 },
    )
    expect(inside('10.1.0.0/16 10.0.0.0/8 10.2.0.0/16', '10.3.0.1')).to.equal(true)
    expect(inside('::/0 0.0.0.0/1', '192.0.2.1')).to.equal(false)
  })

  it('of IPv4 may be written as IPv6', () => {
    expect(inside('::ffff:10.0.0.0/104', '10.1.2.3')).to.equal(true)
    expect(inside('::ffff:0:0/96', '192.0.2.1')).to.equal(true)
  })

  for (const text of [
    '',
    ' , ',
    '10.0.0.1/8',
    '2001:db8::1/64',
    '::ffff:10.0.0.0/95',
    '10.0.0.0/33',
    '::/129',
    '10.0.0.0/08',
    '10.1.0.0/',
    '10.0.0.0/8/8',
    'fe80::1%eth0',
    '192.0.2.1:80',
    'loopback',
  ]) {
    it(`are not ${JSON.stringify(text)}`, () => {
      expect(() => parseBlocks(text))
        .to.throw(/^must /)
        .and.satisfy(({ message }: Error) => text.trim().length < 3 || !message.includes(text))
    })
  }
})
