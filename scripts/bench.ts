import { benchVerify } from './bench/verify.ts'

const { rows, ofJwt, starts } = await benchVerify()
console.table(
  rows.map(({ name, micros, ofBare }) => ({
    name,
    'CPU µs/request': micros.toFixed(1),
    'of bare Koa': ofBare.toFixed(2),
  })),
)
console.log(`against jsonwebtoken: ${ofJwt.toFixed(2)}`)
console.table(starts)
