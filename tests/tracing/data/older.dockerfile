# Built by real engines; what they wrote of it lies beside this file.
ARG BASE=base:1
FROM ${BASE} AS build
ARG V=1
ENV DIR=/opt/x TWO="a b"
WORKDIR /src
COPY one.txt two.txt ./
RUN mkdir -p $DIR && echo $V > $DIR/v
RUN echo built > /src/out

FROM build AS mid
WORKDIR sub
ONBUILD RUN echo trig > /trig

FROM mid
LABEL a=b "c d"='e f'
ARG Q
ARG V=2
COPY --from=build /src/out /out
COPY --chown=1:2 one.txt /x/
ADD two.txt sub /y/
RUN echo "q $Q" > /q; \
    # comment
    echo 2 >> /q
RUN ["/bin/sh", "-c", "echo exec > /e"]
RUN true
SHELL ["/bin/sh", "-e", "-c"]
RUN echo shell > /s
USER nobody
EXPOSE 80 443/tcp
VOLUME /data /data2
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s CMD echo hi
ENTRYPOINT ["/bin/sh"]
CMD echo hi
MAINTAINER me
WORKDIR /src
WORKDIR /newdir
ENV OLD style value
