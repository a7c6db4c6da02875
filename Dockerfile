# The three executables, alone: docker build -t proletariat .
# They are linked with the C library in them (musl), so the image needs nothing else.
FROM rust:1.95-alpine AS build
RUN apk add --no-cache musl-dev gcc make cmake perl
WORKDIR /build
COPY . .
RUN cargo build --release --locked --bins \
 && mkdir /out && cp target/release/manager target/release/worker target/release/client /out/

FROM scratch
COPY --from=build /out/manager /out/worker /out/client /
# No PATH search and no shell here: commands are /manager, /worker and /client.
USER 65534:65534
EXPOSE 1917
CMD ["/manager", "--host", "0.0.0.0", "--insecure"]
